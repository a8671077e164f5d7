// What detectors see of a tensor: the products of its channels, summed over the image; see steps.h for the
// language. Sums and squares are those of row_sums and channel_sums.

// Columns whose products one call sums in 32 bits.
#define TAP_COLUMNS 128

INLINE unsigned int segments_of(VIEW view) { return (view.width + TAP_COLUMNS - 1) / TAP_COLUMNS; }

// The row of entry `at` of a lower triangle.
INLINE unsigned int triangle_row(unsigned int at) {
    unsigned int row = 0;
    while ((row + 1) * (row + 2) / 2 <= at) row++;
    return row;
}

// Products of the channels of two blocks over a part of a row: x counts pairs of blocks, y rows, z segments of
// columns; `[row][segment][pair][4][4]` words in the scratch.
INLINE void row_products(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                         unsigned int z) {
    unsigned int blocks = blocks_of(step.input), pairs = blocks * (blocks + 1) / 2;
    if (x >= pairs || y >= step.input.height || z >= segments_of(step.input)) return;
    unsigned int block = triangle_row(x), other = x - block * (block + 1) / 2;
    unsigned int sums[16];
    for (unsigned int at = 0; at < 16; at++) sums[at] = 0;
    unsigned int end = (z + 1) * TAP_COLUMNS;
    for (unsigned int column = z * TAP_COLUMNS; column < end && column < step.input.width; column++) {
        unsigned int codes = word_at(arena, image_at(step.input, block, y, column));
        unsigned int others = word_at(arena, image_at(step.input, other, y, column));
        for (unsigned int at = 0; at < 16; at++) sums[at] += lane_of(codes, at / 4) * lane_of(others, at % 4);
    }
    unsigned int to = step.scratch + ((y * segments_of(step.input) + z) * pairs + x) * 64;
    for (unsigned int at = 0; at < 16; at++) store(arena, to + at * 4, sums[at]);
}

// Those of the whole image: x counts entries of the lower triangle of channels; 64-bit numbers at byte `from`
// of the arena.
INLINE void channel_products(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                             unsigned int z) {
    unsigned int channels = step.input.channels, blocks = blocks_of(step.input);
    if (x >= channels * (channels + 1) / 2 || y > 0 || z > 0) return;
    unsigned int channel = triangle_row(x), other = x - channel * (channel + 1) / 2;
    unsigned int pairs = blocks * (blocks + 1) / 2;
    unsigned int pair = (channel / 4) * (channel / 4 + 1) / 2 + other / 4;
    unsigned int at = step.scratch + pair * 64 + (channel % 4 * 4 + other % 4) * 4;
    UINT64 sum = 0;
    for (unsigned int part = 0; part < step.input.height * segments_of(step.input); part++) {
        sum += word_at(arena, at + part * pairs * 64);
    }
    store(arena, step.from + x * 8, (unsigned int)sum);
    store(arena, step.from + x * 8 + 4, (unsigned int)(sum >> 32));
}
