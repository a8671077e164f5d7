"""Writes small quantized (QDQ) segmentation networks as ONNX files: seeds.py FOLDER.

Packed, they are what the fuzzing of the package reader begins with: every common operator, few bytes.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 8


class QuantizedNetwork:
    """A network on [1, channels, SIZE, SIZE] whose every activation passes through a quantize/dequantize pair."""

    def __init__(self, channels):
        self.random = np.random.default_rng(7)
        self.nodes, self.constants, self.channels = [], [], {}
        self.input = helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, channels, SIZE, SIZE])
        self.start = self.quantized("frame", channels)

    def constant(self, array):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind, inputs, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def quantized(self, value, channels):
        """A quantize/dequantize pair behind `value`, at a scale that suits activations of unit size."""
        scale, zero_point = self.constant(np.float32(4 / 127)), self.constant(np.int8(0))
        codes = self.node("QuantizeLinear", [value, scale, zero_point])
        result = self.node("DequantizeLinear", [codes, scale, zero_point])
        self.channels[result] = channels
        return result

    def apply(self, kind, *inputs, channels=None, **attributes):
        result = self.node(kind, list(inputs), **attributes)
        return self.quantized(result, channels or self.channels[inputs[0]])

    def weights(self, shape, axis):
        """int8 weights with one scale for each index of `axis`, dequantized."""
        codes = self.constant(self.random.integers(-127, 128, shape).astype(np.int8))
        scales = self.constant(np.full(shape[axis], 1 / 127 / np.sqrt(np.prod(shape[1:])), np.float32))
        zero_points = self.constant(np.zeros(shape[axis], np.int8))
        return self.node("DequantizeLinear", [codes, scales, zero_points], axis=axis)

    def convolution(self, value, channels, kernel=3, group=1, stride=1, dilation=1, relu=True):
        pad = dilation * (kernel // 2)
        weights = self.weights((channels, self.channels[value] // group, kernel, kernel), 0)
        shape = dict(group=group, strides=[stride] * 2, dilations=[dilation] * 2, pads=[pad] * 4)
        result = self.node("Conv", [value, weights], kernel_shape=[kernel] * 2, **shape)
        return self.quantized(self.node("Relu", [result]) if relu else result, channels)

    def upsampled(self, value, mode, coordinates):
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        attributes = dict(mode=mode, coordinate_transformation_mode=coordinates, nearest_mode="floor")
        return self.apply("Resize", value, "", scales, **attributes)

    def transposed(self, value, channels):
        weights = self.weights((self.channels[value], channels, 2, 2), 1)
        result = self.node("ConvTranspose", [value, weights], kernel_shape=[2, 2], strides=[2, 2])
        return self.quantized(result, channels)

    def save(self, path, output):
        shape = [1, self.channels[output], SIZE, SIZE]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, path.stem, [self.input], [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def unet(path):
    net = QuantizedNetwork(1)
    top = net.convolution(net.start, 8)
    low = net.apply("MaxPool", top, kernel_shape=[2, 2], strides=[2, 2])
    low = net.upsampled(net.convolution(low, 8), "nearest", "asymmetric")
    both = net.apply("Concat", top, low, channels=16, axis=1)
    net.save(path, net.convolution(both, 1, kernel=1, relu=False))


def residual(path):
    net = QuantizedNetwork(3)
    top = net.convolution(net.start, 8)
    low = net.convolution(top, 8, stride=2)
    wide = net.convolution(low, 8, group=8, dilation=2, relu=False)
    low = net.apply("Add", low, net.apply("LeakyRelu", wide, alpha=0.1))
    net.save(path, net.convolution(net.transposed(low, 8), 3, kernel=1, relu=False))


def attention(path):
    net = QuantizedNetwork(1)
    top = net.convolution(net.start, 8)
    gate = net.convolution(net.apply("GlobalAveragePool", top), 8, kernel=1)
    top = net.apply("Mul", top, net.apply("Sigmoid", gate))
    low = net.apply("AveragePool", top, kernel_shape=[2, 2], strides=[2, 2])
    net.save(path, net.convolution(net.upsampled(low, "linear", "half_pixel"), 2, relu=False))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for network in (unet, residual, attention):
        network(folder / f"{network.__name__}.onnx")


if __name__ == "__main__":
    main()
