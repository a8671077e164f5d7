"""Cuts every operator of a QDQ model out, runs it in ONNX Runtime on the integers it meets in the whole model, and
writes one case per operator for the conformance test.

usage: cutouts.py MODEL.onnx OUTDIR
A case is OUTDIR/NNN_op/{model.onnx, input_K.npy, meta.json}: float arrays that are exactly representable in the
operator's input quantization, with the dequantized outputs below. OUTDIR/whole_K/ is the whole model on picture K.
  output.npy       ONNX Runtime as it comes. On x86 it runs an int8 convolution in float when its QuantizeLinear has two
                   readers (a skip connection): only a pair of one reader is turned into uint8, and int8 is not allowed;
  integers.npy     whole models: ONNX Runtime with int8 allowed (session.qdqisint8allowed), so that every convolution
                   is in integers;
  unoptimised.npy  ONNX Runtime without graph optimisation, every operator in float;
  exact.npy        the file's own arithmetic in float64 (exact.py).
Needs numpy, onnx, onnxruntime.
"""
import json, os, sys
import numpy as np, onnx, onnxruntime as ort
from onnx import helper, numpy_helper, TensorProto
from exact import Exact


PICTURES = 6  # whole-model comparisons per model


def session(model, optimise=True, int8=False):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if int8:
        options.add_session_config_entry('session.qdqisint8allowed', '1')
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])


def picture(shape, seed):
    r = np.random.default_rng(seed)
    _, c, h, w = shape
    y, x = np.mgrid[0:h, 0:w] / h
    image = sum(np.exp(-((x - r.random()) ** 2 + (y - r.random()) ** 2) / (0.002 + 0.05 * r.random())) * r.normal()
                for _ in range(12)) + 0.15 * r.normal(size=(h, w))
    return np.repeat(((image - image.mean()) / image.std()).astype(np.float32)[None, None], c, 1)


def main():
    path, out = sys.argv[1], sys.argv[2]
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    constants = {i.name: i for i in graph.initializer}
    producer = {o: n for n in graph.node for o in n.output}
    consumers = {}
    for n in graph.node:
        for i in n.input:
            consumers.setdefault(i, []).append(n)
    quantized = [n.output[0] for n in graph.node if n.op_type == 'QuantizeLinear' and n.input[0] not in constants]
    types = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
    probe = onnx.ModelProto(); probe.CopyFrom(model)
    for name in quantized:
        zero = numpy_helper.to_array(constants[producer[name].input[2]])
        kind = TensorProto.UINT8 if zero.dtype == np.uint8 else TensorProto.INT8
        probe.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    feed = picture([d.dim_value for d in graph.input[0].type.tensor_type.shape.dim], 7)
    runner = session(probe, optimise=False)
    names = [o.name for o in runner.get_outputs()]
    codes = dict(zip(names, runner.run(None, {graph.input[0].name: feed})))

    def is_activation(name):
        node = producer.get(name)
        return node is not None and node.op_type == 'DequantizeLinear' and node.input[0] in codes

    count = 0
    for node in graph.node:
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear'):
            continue
        after = [n for n in consumers.get(node.output[0], []) if n.op_type == 'QuantizeLinear']
        chain = [node]
        if not after and len(consumers.get(node.output[0], [])) == 1:  # conv - relu - quantize
            chain.append(consumers[node.output[0]][0])
            after = [n for n in consumers.get(chain[-1].output[0], []) if n.op_type == 'QuantizeLinear']
        if not after or not any(is_activation(i) for i in node.input):
            continue
        if node.op_type == 'Pad' and not numpy_helper.to_array(constants[node.input[1]]).any():
            continue  # computes nothing
        nodes, feeds, inputs = [], {}, []
        for name in dict.fromkeys(node.input):
            if name and not is_activation(name) and name in producer:
                nodes.append(producer[name])
        for k, name in enumerate(dict.fromkeys(i for i in node.input if is_activation(i))):
            dequantize = producer[name]
            quantize = producer[dequantize.input[0]]
            scale = numpy_helper.to_array(constants[quantize.input[1]])
            zero = numpy_helper.to_array(constants[quantize.input[2]])
            value = codes[dequantize.input[0]]
            feeds[f'in{k}'] = ((value.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)
            inputs.append(helper.make_tensor_value_info(f'in{k}', TensorProto.FLOAT, value.shape))
            q = onnx.NodeProto(); q.CopyFrom(quantize); q.input[0] = f'in{k}'
            nodes += [q, dequantize]
        nodes += chain
        q = after[0]
        d = [n for n in consumers[q.output[0]] if n.op_type == 'DequantizeLinear'][0]
        nodes += [q, d]
        used = {i for n in nodes for i in n.input}
        cut = helper.make_model(
            helper.make_graph(nodes, 'cut', inputs, [helper.make_tensor_value_info(d.output[0], TensorProto.FLOAT, None)],
                              [constants[i] for i in used if i in constants]),
            opset_imports=list(model.opset_import))
        cut.ir_version = model.ir_version
        folder = f'{out}/{count:03d}_{node.op_type}'
        os.makedirs(folder, exist_ok=True)
        onnx.save(cut, f'{folder}/model.onnx')
        for k in range(len(inputs)):
            np.save(f'{folder}/input_{k}.npy', feeds[f'in{k}'][0] if feeds[f'in{k}'].ndim == 4 else feeds[f'in{k}'])
        runners = {'output': session(cut), 'unoptimised': session(cut, optimise=False), 'exact': Exact(cut)}
        for file, runner in runners.items():
            np.save(f'{folder}/{file}.npy', runner.run(None, feeds)[0][0].astype(np.float32))
        step = float(numpy_helper.to_array(constants[q.input[1]]))
        json.dump({'op': node.op_type, 'node': node.name, 'step': step, 'inputs': len(inputs)}, open(f'{folder}/meta.json', 'w'))
        count += 1
    base = onnx.load(path)
    name = graph.input[0].name
    runners = {'output': session(base), 'integers': session(base, int8=True),
               'unoptimised': session(base, optimise=False), 'exact': Exact(base)}
    last = producer[graph.output[0].name]
    step = float(numpy_helper.to_array(constants[last.input[1]]))
    for seed in range(PICTURES):
        folder = f'{out}/whole_{seed}'
        os.makedirs(folder, exist_ok=True)
        onnx.save(base, f'{folder}/model.onnx')
        feed = picture([d.dim_value for d in graph.input[0].type.tensor_type.shape.dim], 100 + seed)
        np.save(f'{folder}/input_0.npy', feed[0])
        for file, runner in runners.items():
            np.save(f'{folder}/{file}.npy', runner.run(None, {name: feed})[0][0])
        json.dump({'op': 'whole', 'step': step, 'inputs': 1}, open(f'{folder}/meta.json', 'w'))
    print(f'{os.path.basename(path)}: {count} operators cut out, {runners["exact"].near_ties} values on a tie between two codes')


main()
