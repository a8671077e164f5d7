// Slopes and offsets of a normalisation, where a device has 64-bit floats and 128-bit integers: CUDA and C++;
// see steps.h for the language. In other places the host makes them.

// An integer of 128 bits as the nearest double, half to even.
INLINE double nearest(UINT128 value) {
    UINT64 high = (UINT64)(value >> 64);
    if (high == 0) return (double)(UINT64)value;
    unsigned int shift = 0;
    while (high >> shift != 0) shift++;
    // What is shifted out lies below the bits that a double has, and can only decide a tie.
    UINT64 rest = (UINT64)value << (64 - shift) != 0 ? 1u : 0u;
    double scaled = (double)((UINT64)(value >> shift) | rest);
    return scaled * (double)(1ull << (shift / 2)) * (double)(1ull << (shift - shift / 2));
}

// √x to within one part in 2^52: the integer square root of its significand.
INLINE double square_root(double x) {
    UINT64 bits = bits_of(x);
    int exponent = (int)(bits >> 52 & 0x7ffu) - 1075;
    if (!(x > 0.0) || exponent == -1075) return 0.0;
    int shift = 52 + (exponent & 1);
    UINT128 square = (UINT128)((bits & ((1ull << 52) - 1)) | 1ull << 52) << shift;
    UINT64 root = 0;
    for (int bit = 53; bit >= 0; bit--) {
        UINT64 more = root | 1ull << bit;
        if ((UINT128)more * more <= square) root = more;
    }
    return (double)root * double_of((UINT64)((exponent - shift) / 2 + 1023) << 52);
}

INLINE UINT64 long_at(ARENA arena, unsigned int at) {
    return (UINT64)word_at(arena, at + 4) << 32 | word_at(arena, at);
}

// x counts channels: slope and offset, two floats, at byte `scratch` of the arena from the channel sums at
// byte `from`. Of a step, `rows` and `columns` are gamma and beta, `count` the channels of a group, `to` the
// pixels, `multiplier` epsilon and `factor` the bits of a float, the output's steps.
INLINE void coefficients(ARENA arena, CONSTANTS constants, STEP step, unsigned int x, unsigned int y,
                         unsigned int z) {
    if (x >= step.input.channels || y > 0 || z > 0) return;
    UINT64 total = 0, sum = 0, squares = 0;
    for (unsigned int c = x / step.count * step.count; c < (x / step.count + 1) * step.count; c++) {
        total += step.to;
        sum += long_at(arena, step.from + c * 16);
        squares += long_at(arena, step.from + c * 16 + 8);
    }
    UINT128 product = (UINT128)total * squares, square = (UINT128)sum * sum;
    double count = (double)(total > 1 ? total : 1), mean = (double)sum / count;
    double variance = nearest(product > square ? product - square : 0) / count / count;
    double deviation = square_root(variance + (double)step.multiplier);
    double steps = (double)float_of((unsigned int)step.factor);
    double slope = variance > 0.0 ? (double)factor_at(constants, step.rows + x * 4) * steps / deviation : 0.0;
    double offset = (double)factor_at(constants, step.columns + x * 4) * steps - mean * slope;
    store(arena, step.scratch + x * 8, float_bits((float)slope));
    store(arena, step.scratch + x * 8 + 4, float_bits((float)offset));
}
