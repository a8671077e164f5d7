// From output values to mask and confidence, by the package's tables; see steps.h for the language.
//
// Of a step, `input` is the plan's output, `from` the mask's first byte in the arena and `scratch` that of
// the confidence, `rows` the table of logit indices (with `flag`) and `multipliers` their factors (without),
// `weights` the base table, `bias` the boundary's or the classes' tables, `to` whether there are such.

#define INDEX_CENTRE 2048
#define INDEX_COUNT 4096
#define CERTAIN 65535u
#define BOUNDARY_RADIUS 2u

// The logit index of a channel at an image position.
INLINE int logit_index(ARENA arena, CONSTANTS constants, STEP step, unsigned int channel, unsigned int y,
                       unsigned int x) {
    unsigned int at = image_at(step.input, channel / 4, y, x);
    int value = step.input.is_accumulator ? (int)word_at(arena, at + channel % 4 * 4) : (int)arena[at + channel % 4];
    if (step.flag) return (int)((CONSTANT_SHORTS)(constants + step.rows))[value & 255];
    return requantize(value, factor_at(constants, step.multipliers + channel * 4), step);
}

INLINE unsigned int weight_of(CONSTANTS constants, unsigned int table, int difference) {
    int entry = INDEX_CENTRE + difference;
    entry = entry < 0 ? 0 : entry > INDEX_COUNT - 1 ? INDEX_COUNT - 1 : entry;
    return ((CONSTANT_SHORTS)(constants + table))[entry];
}

// Class of every pixel; the logit index of a sigmoid in place of its confidence, which `confidence` ends.
INLINE void labels(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                   unsigned int z) {
    if (x >= step.input.width || y >= step.input.height || z > 0) return;
    unsigned int at = y * step.input.width + x;
    ARENA_SHORTS confidence = (ARENA_SHORTS)(arena + step.scratch);
    int greatest = logit_index(arena, constants, step, 0, y, x);
    if (step.input.channels == 1) {
        arena[step.from + at] = greatest > INDEX_CENTRE ? 1 : 0;
        confidence[at] = (unsigned short)greatest;
        return;
    }
    int second = 0;
    unsigned int label = 0;
    for (unsigned int channel = 1; channel < step.input.channels; channel++) {
        int index = logit_index(arena, constants, step, channel, y, x);
        int lesser = index > greatest ? greatest : index;
        second = lesser > second ? lesser : second;
        if (index > greatest) {
            greatest = index;
            label = channel;
        }
    }
    unsigned int own = 0, total = 0;
    for (unsigned int channel = 0; channel < step.input.channels; channel++) {
        int rival = step.to && channel == label ? second : greatest;
        unsigned int table = step.to ? step.bias + channel * INDEX_COUNT * 2 : step.weights;
        int index = logit_index(arena, constants, step, channel, y, x);
        unsigned int weight = weight_of(constants, table, index - rival);
        total += weight;
        if (channel == label) own = weight;
    }
    if (total == 0) total = 1;
    arena[step.from + at] = (unsigned char)label;
    confidence[at] = (unsigned short)(((UINT64)own * CERTAIN + total / 2) / total);
}

// Ends the confidence of a sigmoid: the table's probability, near a change of label the boundary table's.
INLINE void confidence(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                       unsigned int z) {
    unsigned int width = step.input.width, height = step.input.height;
    if (x >= width || y >= height || z > 0) return;
    unsigned int at = y * width + x, label = arena[step.from + at];
    bool near = false;
    if (step.to) {
        unsigned int first = x < BOUNDARY_RADIUS ? 0u : x - BOUNDARY_RADIUS;
        for (unsigned int row = y < BOUNDARY_RADIUS ? 0u : y - BOUNDARY_RADIUS;
             row <= y + BOUNDARY_RADIUS && row < height; row++) {
            for (unsigned int column = first; column <= x + BOUNDARY_RADIUS && column < width; column++) {
                near = near || arena[step.from + row * width + column] != label;
            }
        }
    }
    ARENA_SHORTS values = (ARENA_SHORTS)(arena + step.scratch);
    unsigned int table = near ? step.bias : step.weights;
    unsigned int foreground = ((CONSTANT_SHORTS)(constants + table))[values[at] % INDEX_COUNT];
    values[at] = (unsigned short)(label == 0 ? CERTAIN - foreground : foreground);
}

// The output's values, row by row, the channels of a pixel together: codes in a byte each, accumulators in four,
// from byte `to` of the arena on.
INLINE void output_values(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                          unsigned int z) {
    if (x >= step.input.width || y >= step.input.height || z >= blocks_of(step.input)) return;
    unsigned int from = image_at(step.input, z, y, x);
    unsigned int value = (y * step.input.width + x) * step.input.channels + z * 4;
    for (unsigned int lane = 0; lane < 4 && z * 4 + lane < step.input.channels; lane++) {
        if (step.input.is_accumulator) {
            store(arena, step.to + (value + lane) * 4, word_at(arena, from + lane * 4));
        } else {
            arena[step.to + value + lane] = arena[from + lane];
        }
    }
}

// Every kernel there is.
#define KERNELS(K)                                                                                      \
    K(convolution) K(transposed) K(depthwise) K(add_codes) K(multiply_codes) K(lookup) K(max_pool)      \
    K(average_pool) K(remap) K(resize_linear) K(copy_channels) K(row_sums) K(channel_sums)              \
    K(global_average) K(group_norm) K(load) K(labels) K(confidence)               \
    K(row_products) K(channel_products) K(output_values)
