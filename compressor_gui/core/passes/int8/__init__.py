"""TensorFlow's fused oneDNN kernels on 8-bit numbers.

Every activation has codes of one kind, quint8: ``value = code * step - shift``, with ``shift`` a whole number of steps,
so that zero has a code. The kernels know no shift. It is put into their bias: a layer that reads codes adds ``-shift *
sum(weights)`` for each output channel, one that writes them adds its own, and a sum takes away its summand's. So a
layer without Relu, a residual sum without Relu and a depthwise layer behind them need no kernels of their own, which
TensorFlow does not have. Where a border of zeros is put around codes with a shift, the code of zero is written out.

``kernels`` is the table of operations; ``match`` finds what can be replaced; ``formats`` chooses steps and shifts from
ranges; ``cost`` weighs what is gained against the conversions; ``plan`` decides; ``weights`` makes the codes of layers;
``rewrite`` makes the nodes.
"""
