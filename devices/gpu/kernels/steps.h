// The steps of a plan, one function per kernel, in the language that CUDA, Metal and C++ share.
//
// A function is called once for every position (x, y, z) of its grid and reads and writes the arena at the
// offsets of `step`. The including file defines the types in capitals and INLINE, dot4, multiply, add and
// rounded; whatever it is compiled for, every number is the specification's.
//
// Tensors lie as `[rows][blocks][columns][4]` with a halo of zero points, as the plan states. Kernels of
// whole tensors run over stored positions and write the halo on the way.

// A tensor in the arena.
struct View {
    unsigned int offset;        // byte of its first stored row
    unsigned int row_stride;    // bytes from row to row
    unsigned int block_stride;  // bytes from block to block of four channels
    unsigned int height, width, channels;
    unsigned int top, left;  // halo before the image
    unsigned int stored_height, stored_width;
    unsigned int zero_point;
    unsigned int is_accumulator;
};

// Everything a kernel needs; fields a kernel does not name are 0.
struct Step {
    View input, second, output;
    unsigned int kernel_height, kernel_width, stride_height, stride_width;
    unsigned int dilation_height, dilation_width, pad_height, pad_width;
    // Bytes into the constants.
    unsigned int weights, bias, multipliers, rows, columns;
    // Where in the arena a global operator keeps its sums.
    unsigned int scratch;
    unsigned int from, to, count;
    // A choice of the operator: a table per channel, a table at all.
    unsigned int flag;
    int factor, second_factor, addend;
    int denominator_height, denominator_width;
    int zero_point, low, high;
    float multiplier;
};

INLINE unsigned int word_at(ARENA arena, unsigned int at) { return *(ARENA_WORDS)(arena + at); }

INLINE void store(ARENA arena, unsigned int at, unsigned int word) { *(ARENA_WORDS)(arena + at) = word; }

INLINE int constant_at(CONSTANTS constants, unsigned int at) { return *(CONSTANT_INTS)(constants + at); }

INLINE float factor_at(CONSTANTS constants, unsigned int at) { return *(CONSTANT_FLOATS)(constants + at); }

INLINE unsigned int lane_of(unsigned int word, unsigned int lane) { return (word >> (8 * lane)) & 255u; }

// Byte of block `block` at stored row `y` and stored column `x`.
INLINE unsigned int stored_at(VIEW view, unsigned int block, unsigned int y, unsigned int x) {
    unsigned int bytes = view.is_accumulator ? 16u : 4u;
    return view.offset + y * view.row_stride + block * view.block_stride + x * bytes;
}

// The same at an image position.
INLINE unsigned int image_at(VIEW view, unsigned int block, unsigned int y, unsigned int x) {
    return stored_at(view, block, y + view.top, x + view.left);
}

INLINE unsigned int blocks_of(VIEW view) { return (view.channels + 3u) / 4u; }

// clamp(rne(value) + zero_point, low, high) in the order of the specification: clamp, then round.
INLINE int settle(float value, int zero_point, int low, int high) {
    float least = (float)(low - zero_point), greatest = (float)(high - zero_point);
    float raised = value > least ? value : least;
    return rounded(raised < greatest ? raised : greatest) + zero_point;
}

INLINE int requantize(int accumulator, float multiplier, STEP step) {
    return settle(multiply((float)accumulator, multiplier), step.zero_point, step.low, step.high);
}

// Whether a stored position of the output is in the halo; if so its zero points are written.
INLINE bool is_halo(ARENA arena, STEP step, unsigned int x, unsigned int y, unsigned int block) {
    bool inside = x >= step.output.left && x - step.output.left < step.output.width &&
                  y >= step.output.top && y - step.output.top < step.output.height;
    if (!inside && !step.output.is_accumulator) {
        store(arena, stored_at(step.output, block, y, x), step.output.zero_point * 0x01010101u);
    }
    return !inside;
}

// Whether a grid position lies beyond the output: grids are rounded up.
INLINE bool is_beyond(STEP step, unsigned int x, unsigned int y, unsigned int blocks, unsigned int block) {
    return x >= step.output.stored_width || y >= step.output.stored_height || block >= blocks;
}

// Eight accumulators of one pixel become two blocks of the output.
INLINE void finish(ARENA arena, CONSTANTS constants, STEP step, THREAD_INTS sums, unsigned int group,
                   unsigned int y, unsigned int x) {
    for (unsigned int part = 0; part < 2; part++) {
        unsigned int block = group * 2 + part;
        if (block >= blocks_of(step.output)) return;
        unsigned int at = image_at(step.output, block, y, x);
        if (step.output.is_accumulator) {
            for (unsigned int lane = 0; lane < 4; lane++) {
                store(arena, at + lane * 4, (unsigned int)sums[part * 4 + lane]);
            }
            continue;
        }
        unsigned int word = 0;
        for (unsigned int lane = 0; lane < 4; lane++) {
            float multiplier = factor_at(constants, step.multipliers + (block * 4 + lane) * 4);
            word |= (unsigned int)requantize(sums[part * 4 + lane], multiplier, step) << (8 * lane);
        }
        store(arena, at, word);
    }
}

// Adds the products of one input word with eight outputs' weights, which follow each other.
INLINE void products(CONSTANTS constants, unsigned int weights, unsigned int codes, THREAD_INTS sums) {
    WORDS4 first = *(CONSTANT_WORDS4)(constants + weights);
    WORDS4 second = *(CONSTANT_WORDS4)(constants + weights + 16);
    sums[0] = dot4(codes, first.x, sums[0]);
    sums[1] = dot4(codes, first.y, sums[1]);
    sums[2] = dot4(codes, first.z, sums[2]);
    sums[3] = dot4(codes, first.w, sums[3]);
    sums[4] = dot4(codes, second.x, sums[4]);
    sums[5] = dot4(codes, second.y, sums[5]);
    sums[6] = dot4(codes, second.z, sums[6]);
    sums[7] = dot4(codes, second.w, sums[7]);
}

// Pixels of a row that one call of a dense convolution computes, a warp's width apart.
#define PIXELS 4
#define WARP 32

// Dense convolution: x counts threads, each with PIXELS stored columns; z groups of eight outputs. Weights
// lie as [group][tap row][input block][tap column][8][4].
INLINE void convolution(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                        unsigned int z) {
    unsigned int first = x / WARP * (WARP * PIXELS) + x % WARP;
    unsigned int blocks = blocks_of(step.output);
    int sums[PIXELS][8];
    unsigned int sources[PIXELS];
    bool any = false;
    for (unsigned int pixel = 0; pixel < PIXELS; pixel++) {
        unsigned int column = first + pixel * WARP;
        bool live = !is_beyond(step, column, y, blocks, z * 2);
        if (live && is_halo(arena, step, column, y, z * 2)) {
            if (z * 2 + 1 < blocks) is_halo(arena, step, column, y, z * 2 + 1);
            live = false;
        }
        any = any || live;
        // A column that is not there computes the first one's and drops it.
        unsigned int at = live ? column - step.output.left : 0u;
        sources[pixel] = step.input.left - step.pad_width + at * step.stride_width;
        for (unsigned int o = 0; o < 8; o++) {
            sums[pixel][o] = constant_at(constants, step.bias + (z * 8 + o) * 4);
        }
    }
    if (!any) return;
    unsigned int row = step.input.top - step.pad_height + (y - step.output.top) * step.stride_height;
    unsigned int inputs = blocks_of(step.input);
    unsigned int weights = step.weights + z * step.kernel_height * inputs * step.kernel_width * 32u;
    for (unsigned int ky = 0; ky < step.kernel_height; ky++) {
        for (unsigned int block = 0; block < inputs; block++) {
            unsigned int source = stored_at(step.input, block, row + ky * step.dilation_height, 0);
            for (unsigned int kx = 0; kx < step.kernel_width; kx++) {
                for (unsigned int pixel = 0; pixel < PIXELS; pixel++) {
                    unsigned int at = source + (sources[pixel] + kx * step.dilation_width) * 4;
                    products(constants, weights, word_at(arena, at), sums[pixel]);
                }
                weights += 32;
            }
        }
    }
    for (unsigned int pixel = 0; pixel < PIXELS; pixel++) {
        unsigned int column = first + pixel * WARP;
        if (column >= step.output.left && column - step.output.left < step.output.width) {
            finish(arena, constants, step, sums[pixel], z, y - step.output.top, column - step.output.left);
        }
    }
}

// The taps of one output phase of a transposed convolution, as the constants hold them.
struct Phase {
    unsigned int taps_height, taps_width;
    int first_height, first_width;
    unsigned int weights, bias;
};

// Transposed convolution: x and y count input steps from the stored corner on, z groups of eight outputs of
// every phase. Weights of a phase lie as those of a convolution.
INLINE void transposed(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                       unsigned int z) {
    unsigned int phases = step.stride_height * step.stride_width;
    unsigned int group = z / phases, phase = z % phases, blocks = blocks_of(step.output);
    unsigned int column = x * step.stride_width + phase % step.stride_width;
    unsigned int row = y * step.stride_height + phase / step.stride_width;
    if (is_beyond(step, column, row, blocks, group * 2)) return;
    if (is_halo(arena, step, column, row, group * 2)) {
        if (group * 2 + 1 < blocks) is_halo(arena, step, column, row, group * 2 + 1);
        return;
    }
    column -= step.output.left;
    row -= step.output.top;
    phase = row % step.stride_height * step.stride_width + column % step.stride_width;
    CONSTANT_PHASE taps = (CONSTANT_PHASE)(constants + step.rows) + phase;
    int sums[8];
    for (unsigned int o = 0; o < 8; o++) sums[o] = constant_at(constants, taps->bias + (group * 8 + o) * 4);
    unsigned int inputs = blocks_of(step.input);
    unsigned int weights = taps->weights + group * taps->taps_height * inputs * taps->taps_width * 32u;
    unsigned int top = step.input.top + row / step.stride_height + (unsigned int)taps->first_height;
    unsigned int left = step.input.left + column / step.stride_width + (unsigned int)taps->first_width;
    for (unsigned int ky = 0; ky < taps->taps_height; ky++) {
        for (unsigned int block = 0; block < inputs; block++) {
            for (unsigned int kx = 0; kx < taps->taps_width; kx++) {
                unsigned int codes = word_at(arena, stored_at(step.input, block, top + ky, left + kx));
                products(constants, weights, codes, sums);
                weights += 32;
            }
        }
    }
    finish(arena, constants, step, sums, group, row, column);
}

// Depthwise convolution: z counts blocks. Weights lie as [block][tap row][tap column][4].
INLINE void depthwise(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                      unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int row = step.input.top - step.pad_height + y * step.stride_height;
    unsigned int column = step.input.left - step.pad_width + x * step.stride_width;
    unsigned int weights = step.weights + z * step.kernel_height * step.kernel_width * 4;
    int sums[4];
    for (unsigned int lane = 0; lane < 4; lane++) {
        sums[lane] = constant_at(constants, step.bias + (z * 4 + lane) * 4);
    }
    for (unsigned int ky = 0; ky < step.kernel_height; ky++) {
        for (unsigned int kx = 0; kx < step.kernel_width; kx++) {
            unsigned int codes = word_at(arena, stored_at(step.input, z, row + ky * step.dilation_height,
                                                          column + kx * step.dilation_width));
            unsigned int taps = (unsigned int)constant_at(constants, weights);
            for (unsigned int lane = 0; lane < 4; lane++) {
                int weight = (int)(signed char)lane_of(taps, lane);
                sums[lane] += (int)lane_of(codes, lane) * weight;
            }
            weights += 4;
        }
    }
    unsigned int word = 0;
    for (unsigned int lane = 0; lane < 4; lane++) {
        float multiplier = factor_at(constants, step.multipliers + (z * 4 + lane) * 4);
        word |= (unsigned int)requantize(sums[lane], multiplier, step) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// Rescaled addition.
INLINE void add_codes(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                      unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int a = word_at(arena, image_at(step.input, z, y, x));
    unsigned int b = word_at(arena, image_at(step.second, z, y, x));
    unsigned int word = 0;
    for (unsigned int lane = 0; lane < 4; lane++) {
        int sum = (int)lane_of(a, lane) * step.factor + (int)lane_of(b, lane) * step.second_factor;
        word |= (unsigned int)requantize(sum + step.addend, step.multiplier, step) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// Product of two tensors, the second broadcast where its extent is 1.
INLINE void multiply_codes(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                           unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int a = word_at(arena, image_at(step.input, z, y, x));
    unsigned int block = step.second.channels == 1 ? 0u : z;
    unsigned int b = word_at(arena, image_at(step.second, block, step.second.height == 1 ? 0u : y,
                                             step.second.width == 1 ? 0u : x));
    if (step.second.channels == 1) b = (b & 255u) * 0x01010101u;
    unsigned int word = 0;
    for (unsigned int lane = 0; lane < 4; lane++) {
        int left = (int)lane_of(a, lane) - (int)step.input.zero_point;
        int right = (int)lane_of(b, lane) - (int)step.second.zero_point;
        word |= (unsigned int)requantize(left * right, step.multiplier, step) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// Every code through a table, shared or its channel's.
INLINE void lookup(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                   unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int codes = word_at(arena, image_at(step.input, z, y, x)), word = 0;
    for (unsigned int lane = 0; lane < 4 && z * 4 + lane < step.output.channels; lane++) {
        unsigned int table = step.rows + (step.flag ? (z * 4 + lane) * 256u : 0u);
        word |= (unsigned int)constants[table + lane_of(codes, lane)] << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// First tap and the tap after the last that lie within the image along one axis.
INLINE void clip(unsigned int start, unsigned int pad, unsigned int dilation, unsigned int count,
                 unsigned int limit, THREAD_UINTS taps) {
    taps[0] = start >= pad ? 0u : (pad - start + dilation - 1) / dilation;
    unsigned int room = limit + pad;
    taps[1] = room > start ? (room - start + dilation - 1) / dilation : 0u;
    if (taps[1] > count) taps[1] = count;
}

// Greatest code of a window clipped to the image.
INLINE void max_pool(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                     unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int rows[2], columns[2], greatest[4] = {0, 0, 0, 0};
    unsigned int row = y * step.stride_height, column = x * step.stride_width;
    clip(row, step.pad_height, step.dilation_height, step.kernel_height, step.input.height, rows);
    clip(column, step.pad_width, step.dilation_width, step.kernel_width, step.input.width, columns);
    for (unsigned int ky = rows[0]; ky < rows[1]; ky++) {
        for (unsigned int kx = columns[0]; kx < columns[1]; kx++) {
            unsigned int codes =
                word_at(arena, image_at(step.input, z, row + ky * step.dilation_height - step.pad_height,
                                        column + kx * step.dilation_width - step.pad_width));
            for (unsigned int lane = 0; lane < 4; lane++) {
                unsigned int code = lane_of(codes, lane);
                greatest[lane] = code > greatest[lane] ? code : greatest[lane];
            }
        }
    }
    store(arena, image_at(step.output, z, y, x),
          greatest[0] | greatest[1] << 8 | greatest[2] << 16 | greatest[3] << 24);
}

// Mean of a window clipped to the image; the multiplier is that of the number of pixels met.
INLINE void average_pool(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                         unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int rows[2], columns[2], count = 0;
    int sums[4] = {0, 0, 0, 0};
    unsigned int row = y * step.stride_height, column = x * step.stride_width;
    clip(row, step.pad_height, step.dilation_height, step.kernel_height, step.input.height, rows);
    clip(column, step.pad_width, step.dilation_width, step.kernel_width, step.input.width, columns);
    for (unsigned int ky = rows[0]; ky < rows[1]; ky++) {
        for (unsigned int kx = columns[0]; kx < columns[1]; kx++) {
            unsigned int codes =
                word_at(arena, image_at(step.input, z, row + ky * step.dilation_height - step.pad_height,
                                        column + kx * step.dilation_width - step.pad_width));
            for (unsigned int lane = 0; lane < 4; lane++) {
                sums[lane] += (int)lane_of(codes, lane) - (int)step.input.zero_point;
            }
            count += 1;
        }
    }
    float multiplier = factor_at(constants, step.multipliers + count * 4);
    unsigned int word = 0;
    for (unsigned int lane = 0; lane < 4; lane++) {
        word |= (unsigned int)requantize(sums[lane], multiplier, step) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// Row and column gather; entry 65535 is outside.
INLINE void remap(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                  unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int row = ((CONSTANT_SHORTS)(constants + step.rows))[y];
    unsigned int column = ((CONSTANT_SHORTS)(constants + step.columns))[x];
    bool outside = row == 65535u || column == 65535u;
    unsigned int word = (unsigned int)step.addend * 0x01010101u;
    if (!outside) word = word_at(arena, image_at(step.input, z, row, column));
    store(arena, image_at(step.output, z, y, x), word);
}

// Linear resize; an entry holds its two neighbours in one word and the weight of the upper in the next.
INLINE void resize_linear(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                          unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int vertical = (unsigned int)constant_at(constants, step.rows + y * 8);
    unsigned int horizontal = (unsigned int)constant_at(constants, step.columns + x * 8);
    int below = constant_at(constants, step.rows + y * 8 + 4), above = step.denominator_height - below;
    int right = constant_at(constants, step.columns + x * 8 + 4), left = step.denominator_width - right;
    unsigned int upper = vertical & 65535u, lower = vertical >> 16;
    unsigned int first = horizontal & 65535u, last = horizontal >> 16;
    unsigned int a = word_at(arena, image_at(step.input, z, upper, first));
    unsigned int b = word_at(arena, image_at(step.input, z, upper, last));
    unsigned int c = word_at(arena, image_at(step.input, z, lower, first));
    unsigned int d = word_at(arena, image_at(step.input, z, lower, last));
    int centre = (int)step.input.zero_point * step.denominator_height * step.denominator_width;
    unsigned int word = 0;
    for (unsigned int lane = 0; lane < 4; lane++) {
        int top = (int)lane_of(a, lane) * left + (int)lane_of(b, lane) * right;
        int bottom = (int)lane_of(c, lane) * left + (int)lane_of(d, lane) * right;
        int sum = top * above + bottom * below - centre;
        word |= (unsigned int)requantize(sum, step.multiplier, step) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// Copy of a channel range; the other channels of the output keep their codes.
INLINE void copy_channels(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                          unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int at = image_at(step.output, z, y, x), word = word_at(arena, at);
    for (unsigned int lane = 0; lane < 4; lane++) {
        unsigned int channel = z * 4 + lane;
        if (channel < step.to || channel >= step.to + step.count) continue;
        unsigned int source = channel - step.to + step.from;
        unsigned int code = arena[image_at(step.input, source / 4, y, x) + source % 4];
        if (step.flag) code = constants[step.rows + code];
        word = (word & ~(255u << (8 * lane))) | code << (8 * lane);
    }
    store(arena, at, word);
}

// Sums and sums of squares of one image row: y counts rows, z blocks; [row][channel][2] words in the scratch.
INLINE void row_sums(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                     unsigned int z) {
    if (x > 0 || y >= step.input.height || z >= blocks_of(step.input)) return;
    unsigned int sums[4] = {0, 0, 0, 0}, squares[4] = {0, 0, 0, 0};
    for (unsigned int column = 0; column < step.input.width; column++) {
        unsigned int codes = word_at(arena, image_at(step.input, z, y, column));
        for (unsigned int lane = 0; lane < 4; lane++) {
            unsigned int code = lane_of(codes, lane);
            sums[lane] += code;
            squares[lane] += code * code;
        }
    }
    for (unsigned int lane = 0; lane < 4 && z * 4 + lane < step.input.channels; lane++) {
        unsigned int at = step.scratch + (y * step.input.channels + z * 4 + lane) * 8;
        store(arena, at, sums[lane]);
        store(arena, at + 4, squares[lane]);
    }
}

// Those of the whole image: x counts channels; [channel][2] 64-bit numbers at byte `from` of the arena.
INLINE void channel_sums(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                         unsigned int z) {
    if (x >= step.input.channels || y > 0 || z > 0) return;
    UINT64 sum = 0, squares = 0;
    for (unsigned int row = 0; row < step.input.height; row++) {
        unsigned int at = step.scratch + (row * step.input.channels + x) * 8;
        sum += word_at(arena, at);
        squares += word_at(arena, at + 4);
    }
    unsigned int at = step.from + x * 16;
    store(arena, at, (unsigned int)sum);
    store(arena, at + 4, (unsigned int)(sum >> 32));
    store(arena, at + 8, (unsigned int)squares);
    store(arena, at + 12, (unsigned int)(squares >> 32));
}

// Mean over the image from the channel sums at byte `from`: x, y count stored positions of the output.
INLINE void global_average(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                           unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    unsigned int word = 0;
    for (unsigned int lane = 0; lane < 4 && z * 4 + lane < step.output.channels; lane++) {
        // The centred sum fits 32 bits, so the low words of both sides suffice.
        unsigned int sum = word_at(arena, step.from + (z * 4 + lane) * 16);
        int centred = (int)(sum - step.input.zero_point * step.count);
        word |= (unsigned int)requantize(centred, step.multiplier, step) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y - step.output.top, x - step.output.left), word);
}

// Second pass of a normalisation: slope and offset of every channel, two floats, at byte `from`.
INLINE void group_norm(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                       unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int codes = word_at(arena, image_at(step.input, z, y, x)), word = 0;
    for (unsigned int lane = 0; lane < 4 && z * 4 + lane < step.output.channels; lane++) {
        ARENA_FLOATS affine = (ARENA_FLOATS)(arena + step.from + (z * 4 + lane) * 8);
        float value = add(multiply((float)(int)lane_of(codes, lane), affine[0]), affine[1]);
        word |= (unsigned int)settle(value, step.zero_point, step.low, step.high) << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}

// Planar codes `[C,H,W]` at byte `from` of the arena become the blocks of an input tensor.
INLINE void load(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                 unsigned int z) {
    if (is_beyond(step, x, y, blocks_of(step.output), z) || is_halo(arena, step, x, y, z)) return;
    x -= step.output.left;
    y -= step.output.top;
    unsigned int word = step.output.zero_point * 0x01010101u;
    for (unsigned int lane = 0; lane < 4 && z * 4 + lane < step.output.channels; lane++) {
        unsigned int at = ((z * 4 + lane) * step.output.height + y) * step.output.width + x;
        word = (word & ~(255u << (8 * lane))) | (unsigned int)arena[step.from + at] << (8 * lane);
    }
    store(arena, image_at(step.output, z, y, x), word);
}
