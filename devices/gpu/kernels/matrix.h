// Dense convolution by the matrix units of a GPU: a warp multiplies sixteen pixels' words with eight outputs'
// weights at a time. CUDA and C++ share it; see steps.h for the language.
//
// The including file defines LANE_COUNT, LANES, UNROLL and multiply_matrices: CUDA runs a function once for
// each lane of a warp, which knows itself alone; C++ once for a warp, with all its lanes.

// Tiles of sixteen pixels and groups of eight outputs that a warp computes.
#define TILES 2
#define GROUPS 4
#define TILE_PIXELS 16

// What a lane holds, by the PTX instruction set's `mma.m16n8k32`: lane / 4 is a pixel, eight before its second
// one, and an output among the weights; lane % 4 is a word, four before its second one, and a pair of outputs
// among the sums.
struct Lane {
    int sums[TILES][GROUPS][4];                    // two outputs of the first pixel, two of the second
    unsigned int codes[TILES][4];                  // words of both pixels, then their second words
    unsigned int weights[GROUPS][2];               // both words
    unsigned int columns[TILES][2];                // stored column of each pixel's first tap
    unsigned int tap_row, block, tap_column;       // of the word that is gathered next
};

// Outputs of a group that a lane has sums of: the first of two.
INLINE unsigned int pair_of(unsigned int lane, unsigned int group) { return group * 8 + lane % 4 * 2; }

// Whether a stored column of the output belongs to the image.
INLINE bool is_image_column(STEP step, unsigned int column) {
    return column >= step.output.left && column - step.output.left < step.output.width;
}

// Begins a lane's sums, and finds its pixels' taps.
INLINE void begin(CONSTANTS constants, STEP step, Lane &own, unsigned int lane, unsigned int first,
                  unsigned int group, unsigned int groups) {
    UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
        UNROLL for (unsigned int half = 0; half < 2; half++) {
            unsigned int column = first + tile * TILE_PIXELS + half * 8 + lane / 4;
            // A column that is not there computes the first one's and drops it.
            unsigned int at = is_image_column(step, column) ? column - step.output.left : 0u;
            own.columns[tile][half] = step.input.left - step.pad_width + at * step.stride_width;
        }
        UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
            if (group + part >= groups) continue;
            unsigned int bias = step.bias + pair_of(lane, group + part) * 4;
            UNROLL for (unsigned int sum = 0; sum < 4; sum++) {
                own.sums[tile][part][sum] = constant_at(constants, bias + sum % 2 * 4);
            }
        }
    }
    unsigned int taps = lane % 4 / step.kernel_width, blocks = blocks_of(step.input);
    own.tap_column = lane % 4 % step.kernel_width;
    own.block = taps % blocks;
    own.tap_row = taps / blocks;
}

// Gathers a lane's two words of eight from `word` on; those beyond the last have no weights.
INLINE void gather(ARENA arena, CONSTANTS constants, STEP step, Lane &own, unsigned int lane,
                   unsigned int word, unsigned int words, unsigned int row, unsigned int group,
                   unsigned int groups) {
    UNROLL for (unsigned int half = 0; half < 2; half++) {
        unsigned int at = word + half * 4 + lane % 4;
        bool is_there = at < words;
        unsigned int tap_row = is_there ? own.tap_row : 0u;
        unsigned int source = stored_at(step.input, own.block, row + tap_row * step.dilation_height,
                                        own.tap_column * step.dilation_width);
        UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
            own.codes[tile][half * 2] = word_at(arena, source + own.columns[tile][0] * 4);
            own.codes[tile][half * 2 + 1] = word_at(arena, source + own.columns[tile][1] * 4);
        }
        UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
            if (group + part >= groups) continue;
            unsigned int weights = step.weights + ((group + part) * words + at) * 32 + lane / 4 * 4;
            own.weights[part][half] = is_there ? (unsigned int)constant_at(constants, weights) : 0u;
        }
        own.tap_column += 4;
        while (own.tap_column >= step.kernel_width) {
            own.tap_column -= step.kernel_width;
            own.block += 1;
            if (own.block == blocks_of(step.input)) {
                own.block = 0;
                own.tap_row += 1;
            }
        }
    }
}

// Stores a lane's sums as codes or as they are, and the halo around them.
INLINE void settle_pairs(ARENA arena, CONSTANTS constants, STEP step, Lane &own, unsigned int lane,
                         unsigned int first, unsigned int y, unsigned int group, unsigned int groups,
                         bool is_image_row) {
    UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
        UNROLL for (unsigned int half = 0; half < 2; half++) {
            unsigned int column = first + tile * TILE_PIXELS + half * 8 + lane / 4;
            if (column >= step.output.stored_width) continue;
            bool is_image = is_image_row && is_image_column(step, column);
            UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
                if (group + part >= groups) continue;
                unsigned int output = pair_of(lane, group + part);
                if (output / 4 >= blocks_of(step.output)) continue;
                unsigned int at = stored_at(step.output, output / 4, y, column);
                int sums[2] = {own.sums[tile][part][half * 2], own.sums[tile][part][half * 2 + 1]};
                if (step.output.is_accumulator) {
                    if (!is_image) continue;
                    store(arena, at + output % 4 * 4, (unsigned int)sums[0]);
                    store(arena, at + output % 4 * 4 + 4, (unsigned int)sums[1]);
                    continue;
                }
                unsigned int codes = step.output.zero_point * 0x0101u;
                if (is_image) {
                    float multipliers[2] = {factor_at(constants, step.multipliers + output * 4),
                                            factor_at(constants, step.multipliers + output * 4 + 4)};
                    codes = (unsigned int)requantize(sums[0], multipliers[0], step) |
                            (unsigned int)requantize(sums[1], multipliers[1], step) << 8;
                }
                *(ARENA_SHORTS)(arena + at + output % 4) = (unsigned short)codes;
            }
        }
    }
}

// Multiplies in registers alone, `count` rounds of every tile and group: what the matrix units give at most. x
// counts warps. The sums are stored where they are a number that they never are, so that they are computed.
INLINE void matrix_roof(ARENA arena, CONSTANTS, STEP step, unsigned int x, unsigned int, unsigned int) {
    Lane lanes[LANE_COUNT];
    LANES(lane, own) {
        UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
            UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
                UNROLL for (unsigned int sum = 0; sum < 4; sum++) lanes[own].sums[tile][part][sum] = 0;
            }
            UNROLL for (unsigned int word = 0; word < 4; word++) lanes[own].codes[tile][word] = lane + x;
        }
        UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
            UNROLL for (unsigned int word = 0; word < 2; word++) lanes[own].weights[part][word] = 0;
        }
    }
    for (unsigned int round = 0; round < step.count; round++) {
        UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
            UNROLL for (unsigned int part = 0; part < GROUPS; part++) multiply_matrices(lanes, tile, part);
        }
    }
    LANES(lane, own) {
        int total = 0;
        UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
            UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
                UNROLL for (unsigned int sum = 0; sum < 4; sum++) total |= lanes[own].sums[tile][part][sum];
            }
        }
        if (total != 0) store(arena, lane * 4, (unsigned int)total);
    }
}

// Dense convolution: x counts TILES of stored columns, y stored rows, z GROUPS of outputs. Weights lie as
// [group][tap row][input block][tap column][8][4], a word of which is a register of the matrix units.
INLINE void matrix_convolution(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                               unsigned int z) {
    unsigned int first = x * TILES * TILE_PIXELS, group = z * GROUPS;
    unsigned int groups = (step.output.channels + 7u) / 8u;
    if (first >= step.output.stored_width || y >= step.output.stored_height || group >= groups) return;
    bool is_image_row = y >= step.output.top && y - step.output.top < step.output.height;
    unsigned int row = step.input.top - step.pad_height;
    if (is_image_row) row += (y - step.output.top) * step.stride_height;
    unsigned int words = step.kernel_height * blocks_of(step.input) * step.kernel_width;
    Lane lanes[LANE_COUNT];
    LANES(lane, own) { begin(constants, step, lanes[own], lane, first, group, groups); }
    for (unsigned int word = 0; is_image_row && word < words; word += 8) {
        LANES(lane, own) {
            gather(arena, constants, step, lanes[own], lane, word, words, row, group, groups);
        }
        UNROLL for (unsigned int tile = 0; tile < TILES; tile++) {
            UNROLL for (unsigned int part = 0; part < GROUPS; part++) {
                if (group + part >= groups) continue;
                multiply_matrices(lanes, tile, part);
            }
        }
    }
    LANES(lane, own) {
        settle_pairs(arena, constants, step, lanes[own], lane, first, y, group, groups, is_image_row);
    }
}
