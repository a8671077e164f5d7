// The kernels for CUDA. Compile with -fmad=false: a fused multiply-add would round once where the
// specification rounds twice.

#define INLINE __device__ __forceinline__
#define ARENA unsigned char *__restrict__
#define ARENA_WORDS unsigned int *
#define ARENA_SHORTS unsigned short *
#define ARENA_FLOATS const float *
#define CONSTANTS const unsigned char *__restrict__
#define CONSTANT_INTS const int *
#define CONSTANT_FLOATS const float *
#define CONSTANT_SHORTS const unsigned short *
#define CONSTANT_WORDS4 const uint4 *
#define CONSTANT_PHASE const Phase *
#define STEP const Step &
#define VIEW const View &
#define THREAD_INTS int *
#define THREAD_UINTS unsigned int *
#define WORDS4 uint4
#define UINT64 unsigned long long
#define UINT128 unsigned __int128

INLINE float multiply(float a, float b) { return __fmul_rn(a, b); }
INLINE float add(float a, float b) { return __fadd_rn(a, b); }
INLINE int rounded(float x) { return __float2int_rn(x); }

// Four products of unsigned codes with signed weights and their sum with `c`, in one instruction.
INLINE int dot4(unsigned int codes, unsigned int weights, int c) {
    int sum;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(sum) : "r"(codes), "r"(weights), "r"(c));
    return sum;
}

#include "steps.h"
#include "taps.h"
#include "head.h"

INLINE UINT64 bits_of(double x) { return (UINT64)__double_as_longlong(x); }
INLINE double double_of(UINT64 bits) { return __longlong_as_double((long long)bits); }
INLINE float float_of(unsigned int bits) { return __uint_as_float(bits); }
INLINE unsigned int float_bits(float x) { return __float_as_uint(x); }

#include "moments.h"

#define LANE_COUNT 1
#define LANES(lane, own) for (unsigned int lane = threadIdx.x % 32, own = 0; own < LANE_COUNT; own++)
// What is indexed by unrolled loops alone stays in registers.
#define UNROLL _Pragma("unroll")
struct Lane;
INLINE void multiply_matrices(Lane *lanes, unsigned int tile, unsigned int part);

#include "matrix.h"

// One product of the matrix units, or four where they are narrower.
INLINE void multiply_matrices(Lane *lanes, unsigned int tile, unsigned int part) {
    int *sums = lanes->sums[tile][part];
    unsigned int *codes = lanes->codes[tile], *weights = lanes->weights[part];
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(codes[0]), "r"(codes[1]), "r"(codes[2]), "r"(codes[3]), "r"(weights[0]), "r"(weights[1]));
#else
    for (unsigned int step = 0; step < 4; step++) {
        asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
            : "+r"(sums[step % 2 * 2]), "+r"(sums[step % 2 * 2 + 1])
            : "r"(codes[step]), "r"(weights[step / 2]));
    }
#endif
}

#define KERNEL(name)                                                                                    \
    extern "C" __global__ void __launch_bounds__(256)                                                   \
        candor_##name(unsigned char *arena, const unsigned char *constants, const Step step) {          \
        name(arena, constants, step, blockIdx.x * blockDim.x + threadIdx.x,                             \
             blockIdx.y * blockDim.y + threadIdx.y, blockIdx.z * blockDim.z + threadIdx.z);             \
    }
KERNELS(KERNEL)
KERNEL(coefficients)

extern "C" __global__ void __launch_bounds__(256)
    candor_matrix_convolution(unsigned char *arena, const unsigned char *constants, const Step step) {
    matrix_convolution(arena, constants, step, blockIdx.x, blockIdx.y * blockDim.y + threadIdx.y, blockIdx.z);
}

KERNEL(matrix_roof)
