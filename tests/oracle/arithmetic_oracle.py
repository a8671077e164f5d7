"""Writes small random QDQ models with ONNX Runtime's outputs, one case per operator form, and pictures resized by Pillow.

usage: arithmetic_oracle.py models OUTDIR | arithmetic_oracle.py pillow OUTDIR
A case is OUTDIR/NNN_op/{model.onnx, input_K.npy, output.npy, meta.json}, as cutouts.py writes them; inputs are exactly
representable in their quantization. Linear Resize is taken without graph optimisation: with it ONNX Runtime
interpolates integers and truncates, where the operators in the file say float and half to even.
Needs numpy, onnx and onnxruntime, or numpy and Pillow.
"""
import json
import os
import sys

import numpy as np

CASES = []


def vnni():
    """Whether 8-bit products add up in 32 bits here; elsewhere ONNX Runtime's own sums may saturate at 16 bits."""
    try:
        with open("/proc/cpuinfo", encoding="ascii") as file:
            return "vnni" in file.read()
    except OSError:
        return False


class Model:
    """A QDQ graph under construction with the inputs that go with it."""

    def __init__(self, seed, op):
        self.random, self.op = np.random.default_rng(seed), op
        self.nodes, self.constants, self.inputs, self.feeds = [], [], [], {}

    def constant(self, name, value):
        from onnx import numpy_helper
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        from onnx import helper
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def pair(self, value, scale, zero, name):
        """Quantize and dequantize."""
        ends = [self.constant(f"{name}_scale", np.float32(scale)), self.constant(f"{name}_zero", zero)]
        codes = self.node("QuantizeLinear", [value, *ends], f"{name}_codes")
        return self.node("DequantizeLinear", [codes, *ends], name)

    def input(self, shape, kind, scale, zero):
        from onnx import TensorProto, helper
        name = f"in{len(self.inputs)}"
        limits = np.iinfo(kind)
        codes = self.random.integers(limits.min, limits.max, shape, endpoint=True)
        self.feeds[name] = ((codes - int(zero)).astype(np.float32) * np.float32(scale)).astype(np.float32)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self.pair(name, scale, kind(zero), f"{name}_real")

    def weights(self, name, shape, axis, scales):
        limit = 127 if vnni() else 64
        codes = self.random.integers(-limit, limit, shape, endpoint=True).astype(np.int8)
        zero = np.zeros(len(scales), np.int8)
        ends = [self.constant(f"{name}_scale", scales), self.constant(f"{name}_zero", zero)]
        return self.node("DequantizeLinear", [self.constant(f"{name}_codes", codes), *ends], name, axis=axis)

    def bias(self, name, scales):
        codes = self.random.integers(-5000, 5000, len(scales)).astype(np.int32)
        ends = [self.constant(f"{name}_scale", scales), self.constant(f"{name}_zero", np.zeros(len(scales), np.int32))]
        return self.node("DequantizeLinear", [self.constant(f"{name}_codes", codes), *ends], name, axis=0)

    def finish(self, value, kind, scale, zero, optimise=True):
        """Ends in codes of the given scale, or of one that spreads the values over the codes."""
        import onnxruntime
        if scale is None:
            observed = self.run(value, optimise=False, runtime=onnxruntime)
            scale = float(np.abs(observed).max()) / 200 or 1.0
        output = self.pair(value, scale, kind(zero), "out")
        result = self.run(output, optimise, onnxruntime)
        CASES.append((self, result, float(np.float32(scale))))

    def proto(self, output):
        from onnx import TensorProto, helper
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "case", self.inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model

    def run(self, output, optimise, runtime):
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        if not optimise:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        model = self.proto(output).SerializeToString()
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return session.run(None, self.feeds)[0]


# Channels in and out, kernel, stride, dilation, pads (top, left, bottom, right), groups, activation.
CONVOLUTIONS = [
    (3, 8, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, None),
    (16, 24, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "Relu"),
    (5, 7, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), 1, None),
    (8, 9, (3, 3), (1, 1), (2, 3), (2, 3, 2, 3), 1, "Relu"),
    (12, 12, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 12, None),
    (10, 10, (5, 3), (2, 1), (1, 1), (2, 1, 2, 1), 10, "Relu"),
    (8, 16, (3, 3), (1, 1), (1, 1), (0, 2, 1, 0), 4, None),
    (130, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, None),
    (257, 33, (1, 1), (2, 1), (1, 1), (0, 0, 0, 0), 1, "Relu"),
    (6, 5, (7, 7), (1, 1), (1, 1), (3, 3, 3, 3), 1, None),
]


def convolutions():
    for index, (inputs, outputs, kernel, stride, dilation, pads, groups, activation) in enumerate(CONVOLUTIONS):
        for kind in (np.uint8, np.int8):
            model = Model(100 + index, "Conv")
            zero = [0, 3, 128, 255][index % 4] - (128 if kind is np.int8 else 0)
            x = model.input((1, inputs, 13, 17), kind, 0.013 + 0.001 * index, zero)
            scales = model.random.uniform(1e-4, 5e-3, outputs).astype(np.float32)
            w = model.weights("w", (outputs, inputs // groups, *kernel), 0, scales)
            b = model.bias("b", np.float32(0.013 + 0.001 * index) * scales)
            y = model.node("Conv", [x, w, b], "y", kernel_shape=kernel, strides=stride, dilations=dilation,
                           pads=pads, group=groups)
            if activation:
                y = model.node(activation, [y], "activated")
            low = 0 if activation else 117
            model.finish(y, kind, None, low - (128 if kind is np.int8 else 0))


def transposed():
    for index, (kernel, stride, pads, padding) in enumerate(
            [((2, 2), (2, 2), (0, 0, 0, 0), (0, 0)), ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
             ((4, 4), (2, 2), (1, 1, 1, 1), (0, 0))]):
        model = Model(200 + index, "ConvTranspose")
        x = model.input((1, 6, 7, 9), np.uint8, 0.02, 111)
        # One scale: per-channel weights of a transposed convolution have no fixed axis in older operator sets.
        w = model.weights("w", (6, 5, *kernel), 0, np.array([0.004], np.float32))
        y = model.node("ConvTranspose", [x, w], "y", kernel_shape=kernel, strides=stride, pads=pads,
                       output_padding=padding)
        model.finish(y, np.uint8, None, 128)


def joins():
    for index, kind in enumerate((np.uint8, np.int8)):
        offset = 128 if kind is np.int8 else 0
        for op in ("Add", "Mul", "Concat"):
            model = Model(300 + index, op)
            a = model.input((1, 9, 11, 13), kind, 0.031, 120 - offset)
            shape = (1, 9, 1, 1) if op == "Mul" and index else (1, 9, 11, 13)
            b = model.input(shape, kind, 0.0173, 77 - offset)
            attributes = {"axis": 1} if op == "Concat" else {}
            model.finish(model.node(op, [a, b], "y", **attributes), kind, None, 128 - offset)


def maps():
    one = dict(kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    for index, (op, attributes, zero) in enumerate([
            ("MaxPool", one, 99), ("MaxPool", dict(kernel_shape=(2, 2), strides=(2, 2)), 99),
            ("AveragePool", dict(kernel_shape=(2, 2), strides=(2, 2)), 99), ("AveragePool", one, 99),
            ("AveragePool", dict(one, count_include_pad=1), 99), ("GlobalAveragePool", {}, 128),
            ("Sigmoid", {}, 0), ("HardSwish", {}, 30), ("LeakyRelu", {"alpha": 0.1}, 60)]):
        for kind in (np.uint8, np.int8):
            offset = 128 if kind is np.int8 else 0
            model = Model(400 + index, op)
            x = model.input((1, 7, 12, 14), kind, 0.04, 99 - offset)
            y = model.node(op, [x], "y", **attributes)
            scale = {"MaxPool": 0.04, "Sigmoid": 1 / 256, "GlobalAveragePool": 0.005}.get(op)
            model.finish(y, kind, scale, zero - offset)


def resizes():
    for index, (mode, coordinates, scale) in enumerate(
            [("linear", "half_pixel", 2.0), ("linear", "align_corners", 3.0), ("linear", "asymmetric", 2.0),
             ("linear", "half_pixel", 0.5), ("nearest", "asymmetric", 2.0), ("nearest", "half_pixel", 1.5)]):
        for kind in (np.uint8, np.int8):
            offset = 128 if kind is np.int8 else 0
            model = Model(500 + index, "Resize")
            # A power of two keeps ONNX Runtime's floats exact, so that ties between two codes are ties for both.
            step = 0.04 if mode == "nearest" else 1 / 32
            x = model.input((1, 5, 8, 6), kind, step, 99 - offset)
            scales = model.constant("scales", np.array([1, 1, scale, scale], np.float32))
            mapping = dict(mode=mode, coordinate_transformation_mode=coordinates)
            if mode == "nearest":
                mapping["nearest_mode"] = "floor" if coordinates == "asymmetric" else "round_prefer_floor"
            y = model.node("Resize", [x, "", scales], "y", **mapping)
            model.finish(y, kind, step, 99 - offset, optimise=mode == "nearest")


def models(out):
    import onnx
    for part in (convolutions, transposed, joins, maps, resizes):
        part()
    for number, (model, result, step) in enumerate(CASES):
        folder = os.path.join(out, f"{number:03d}_{model.op}")
        os.makedirs(folder)
        onnx.save(model.proto("out"), os.path.join(folder, "model.onnx"))
        for name, values in model.feeds.items():
            np.save(os.path.join(folder, f"input_{name[2:]}.npy"), values[0])
        np.save(os.path.join(folder, "output.npy"), result[0].astype(np.float32))
        with open(os.path.join(folder, "meta.json"), "w", encoding="ascii") as file:
            json.dump({"op": model.op, "step": step, "inputs": len(model.feeds)}, file)


def pillow(out):
    from PIL import Image
    random = np.random.default_rng(7)
    os.makedirs(out)
    extents = [(1, 1), (1, 7), (5, 3), (16, 16), (31, 64), (100, 37), (257, 129), (480, 640), (3, 500)]
    targets = [(1, 1), (8, 8), (16, 9), (64, 64), (33, 100), (129, 257), (7, 500)]
    for number, (source, target) in enumerate((s, t) for s in extents for t in targets):
        noise = random.integers(0, 256, source).astype(np.uint8)
        image = noise if number % 3 else (noise & 1) * np.uint8(255)
        # Columns, then rows: in one call Pillow may take the rows first, which rounds differently in between.
        columns = Image.fromarray(image).resize((target[1], source[0]), Image.Resampling.BILINEAR)
        resized = np.asarray(columns.resize(target[::-1], Image.Resampling.BILINEAR))
        with open(os.path.join(out, f"{number:03d}.bin"), "wb") as file:
            file.write(np.array([*source, *target], "<u4").tobytes() + image.tobytes() + resized.tobytes())


{"models": models, "pillow": pillow}[sys.argv[1]](sys.argv[2])
