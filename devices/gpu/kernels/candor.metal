// The kernels for Metal. Compile with fast math off: it may fuse and reorder.

#include <metal_stdlib>

#pragma STDC FP_CONTRACT OFF

#define INLINE inline
#define ARENA device uchar *
#define ARENA_WORDS device uint *
#define ARENA_SHORTS device ushort *
#define ARENA_FLOATS device const float *
#define CONSTANTS device const uchar *
#define CONSTANT_INTS device const int *
#define CONSTANT_FLOATS device const float *
#define CONSTANT_SHORTS device const ushort *
#define CONSTANT_WORDS4 device const uint4 *
#define CONSTANT_PHASE device const Phase *
#define STEP constant Step &
#define VIEW constant View &
#define THREAD_INTS thread int *
#define THREAD_UINTS thread uint *
#define WORDS4 uint4
#define UINT64 ulong

using metal::uint3;
using metal::uint4;

INLINE float multiply(float a, float b) { return a * b; }
INLINE float add(float a, float b) { return a + b; }
INLINE int rounded(float x) { return int(metal::precise::rint(x)); }

INLINE int dot4(uint codes, uint weights, int c) {
    for (uint lane = 0; lane < 4; lane++) {
        c += int((codes >> (8 * lane)) & 255u) * (int(weights << (24 - 8 * lane)) >> 24);
    }
    return c;
}

#include "steps.h"
#include "taps.h"
#include "head.h"

#define KERNEL(name)                                                                                    \
    kernel void candor_##name(device uchar *arena [[buffer(0)]],                                        \
                              device const uchar *constants [[buffer(1)]],                              \
                              constant Step &step [[buffer(2)]], uint3 at [[thread_position_in_grid]]) {  \
        name(arena, constants, step, at.x, at.y, at.z);                                                 \
    }
KERNELS(KERNEL)
