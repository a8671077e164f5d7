"""Evaluates a QDQ graph as its file states it: every operator in float64, every QuantizeLinear rounded half to even.

The engines round in float32 at one place or another; this is what they round towards. Beside the outputs it gives how many
values lay so near a tie between two codes (within 1e-9 steps) that float64 itself could not tell.
Needs numpy and onnx. Only the operators of the reference segmenters (../shared/bench/export_models.py) are here.
"""
import numpy as np
from onnx import helper, numpy_helper

NEAR_TIE = 1e-9


class Exact:
    """One QDQ model of batch one."""

    def __init__(self, model):
        self.graph = model.graph
        self.constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self.near_ties = 0

    def run(self, _, feeds):
        """The outputs for `feeds`, as an ONNX Runtime session gives them."""
        values = {name: feed.astype(np.float64) for name, feed in feeds.items()}
        for node in self.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            inputs = [self.constants.get(name, values.get(name)) if name else None for name in node.input]
            values[node.output[0]] = getattr(self, node.op_type)(inputs, **attributes)
        return [np.ascontiguousarray(values[output.name], np.float32) for output in self.graph.output]

    def QuantizeLinear(self, inputs, axis=1):
        value, scale, zero = inputs
        steps = value / np.float64(scale)
        self.near_ties += int((np.abs(np.abs(steps - np.floor(steps)) - 0.5) < NEAR_TIE).sum())
        limits = np.iinfo(zero.dtype)
        return np.clip(np.rint(steps) + zero.astype(np.float64), limits.min, limits.max).astype(zero.dtype)

    def DequantizeLinear(self, inputs, axis=1):
        codes, scale, *zero = inputs
        shape = [-1 if at == axis and scale.ndim else 1 for at in range(max(codes.ndim, 1))]
        along = lambda array: np.asarray(array, np.float64).reshape(shape if np.ndim(array) else ())
        return (codes.astype(np.float64) - (along(zero[0]) if zero else 0.0)) * along(scale)

    def Conv(self, inputs, group=1, strides=(1, 1), pads=(0, 0, 0, 0), kernel_shape=None, **_):
        value, weight = inputs[0][0], inputs[1]
        outputs, depth, height, width = weight.shape
        value = np.pad(value, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
        windows = np.lib.stride_tricks.sliding_window_view(value, (height, width), axis=(1, 2))
        windows = windows[:, ::strides[0], ::strides[1]]
        rows, columns = windows.shape[1:3]
        result = np.empty((outputs, rows, columns))
        each = outputs // group
        for g in range(group):
            own = windows[g * depth:(g + 1) * depth].transpose(0, 3, 4, 1, 2).reshape(-1, rows * columns)
            part = slice(g * each, (g + 1) * each)
            result[part] = (weight[part].reshape(each, -1) @ own).reshape(each, rows, columns)
        if len(inputs) > 2:
            result += inputs[2][:, None, None]
        return result[None]

    def ConvTranspose(self, inputs, group=1, strides=(1, 1), pads=(0, 0, 0, 0), kernel_shape=None, **_):
        value, weight = inputs[0][0], inputs[1]
        assert group == 1 and not any(pads) and tuple(strides) == weight.shape[2:], 'only k = stride, no pads'
        product = np.einsum('chw,coij->ohiwj', value, weight, optimize=True)
        result = product.reshape(weight.shape[1], value.shape[1] * strides[0], value.shape[2] * strides[1])
        if len(inputs) > 2:
            result = result + inputs[2][:, None, None]
        return result[None]

    def MaxPool(self, inputs, kernel_shape, strides, pads=(0, 0, 0, 0), **_):
        assert tuple(kernel_shape) == tuple(strides) and not any(pads), 'only k = stride, no pads'
        n, c, h, w = inputs[0].shape
        cut = inputs[0][:, :, :h // strides[0] * strides[0], :w // strides[1] * strides[1]]
        return cut.reshape(n, c, h // strides[0], strides[0], w // strides[1], strides[1]).max((3, 5))

    def Resize(self, inputs, mode=b'nearest', coordinate_transformation_mode=b'', nearest_mode=b'', **_):
        assert (mode, coordinate_transformation_mode, nearest_mode) == (b'nearest', b'asymmetric', b'floor')
        value, sizes = inputs[0], inputs[3]
        rows, columns = (np.arange(sizes[at]) * value.shape[at] // sizes[at] for at in (2, 3))
        return value[:, :, rows][:, :, :, columns]

    def Pad(self, inputs, mode=b'constant'):
        pads = np.asarray(inputs[1]).reshape(2, -1).T
        assert mode == b'edge' or not pads.any()
        return np.pad(inputs[0], pads, 'edge')

    def Concat(self, inputs, axis):
        return np.concatenate(inputs, axis)

    def Add(self, inputs):
        return inputs[0] + inputs[1]

    def Relu(self, inputs):
        return np.maximum(inputs[0], 0.0)
