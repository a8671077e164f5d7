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
#include "head.h"

#define KERNEL(name)                                                                                    \
    extern "C" __global__ void __launch_bounds__(256)                                                   \
        candor_##name(unsigned char *arena, const unsigned char *constants, const Step step) {          \
        name(arena, constants, step, blockIdx.x * blockDim.x + threadIdx.x,                             \
             blockIdx.y * blockDim.y + threadIdx.y, blockIdx.z * blockDim.z + threadIdx.z);             \
    }
KERNELS(KERNEL)
