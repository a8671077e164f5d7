// The kernels on the host's processor, thread after thread: what a GPU runs, where there is none. Compile with
// -ffp-contract=off.
//
// Reads launches from standard input and writes the arena to standard output, little-endian:
// bytes of the arena and of the constants, both, the number of launches; each launch is the kernel's number,
// the grid (x, y, z) and a Step.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define INLINE static inline
#define ARENA unsigned char *
#define ARENA_WORDS unsigned int *
#define ARENA_SHORTS unsigned short *
#define ARENA_FLOATS const float *
#define CONSTANTS const unsigned char *
#define CONSTANT_INTS const int *
#define CONSTANT_FLOATS const float *
#define CONSTANT_SHORTS const unsigned short *
#define CONSTANT_WORDS4 const Words4 *
#define CONSTANT_PHASE const Phase *
#define STEP const Step &
#define VIEW const View &
#define THREAD_INTS int *
#define THREAD_UINTS unsigned int *
#define WORDS4 Words4
#define UINT64 std::uint64_t
#define UINT128 unsigned __int128

struct Words4 {
    unsigned int x, y, z, w;
};

INLINE float multiply(float a, float b) { return a * b; }
INLINE float add(float a, float b) { return a + b; }
INLINE int rounded(float x) { return (int)std::nearbyintf(x); }

INLINE int dot4(unsigned int codes, unsigned int weights, int c) {
    for (unsigned int lane = 0; lane < 4; lane++) {
        int weight = (int)(signed char)((weights >> (8 * lane)) & 255u);
        c += (int)((codes >> (8 * lane)) & 255u) * weight;
    }
    return c;
}

#include "steps.h"
#include "taps.h"
#include "head.h"

template <typename To, typename From> static inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

INLINE UINT64 bits_of(double x) { return same_bits<UINT64>(x); }
INLINE double double_of(UINT64 bits) { return same_bits<double>(bits); }
INLINE float float_of(unsigned int bits) { return same_bits<float>(bits); }
INLINE unsigned int float_bits(float x) { return same_bits<unsigned int>(x); }

#include "moments.h"

#define LANE_COUNT 32
#define LANES(lane, own) for (unsigned int lane = 0, own = 0; lane < LANE_COUNT; lane++, own++)
#define UNROLL
struct Lane;
INLINE void multiply_matrices(Lane *lanes, unsigned int tile, unsigned int part);

#include "matrix.h"

// What `mma.m16n8k32` does for all lanes of a warp, by the PTX instruction set's tables of its fragments.
INLINE void multiply_matrices(Lane *lanes, unsigned int tile, unsigned int part) {
    for (unsigned int lane = 0; lane < LANE_COUNT; lane++) {
        for (unsigned int sum = 0; sum < 4; sum++) {
            unsigned int pixel = lane / 4 + sum / 2 * 8, output = lane % 4 * 2 + sum % 2;
            for (unsigned int word = 0; word < 8; word++) {
                unsigned int codes = lanes[pixel % 8 * 4 + word % 4].codes[tile][word / 4 * 2 + pixel / 8];
                unsigned int weights = lanes[output * 4 + word % 4].weights[part][word / 4];
                lanes[lane].sums[tile][part][sum] = dot4(codes, weights, lanes[lane].sums[tile][part][sum]);
            }
        }
    }
}

typedef void (*Kernel)(unsigned char *, const unsigned char *, const Step &, unsigned int, unsigned int,
                       unsigned int);

#define ENTRY(name) name,
static const Kernel kernels[] = {KERNELS(ENTRY) matrix_convolution, coefficients, matrix_roof};

static void take(void *to, std::size_t bytes) {
    if (std::fread(to, 1, bytes, stdin) != bytes) std::exit(1);
}

int main() {
    std::uint32_t sizes[3];
    take(sizes, sizeof sizes);
    // Words, so that both begin aligned.
    std::vector<std::uint64_t> arena(sizes[0] / 8 + 1), constants(sizes[1] / 8 + 1);
    take(arena.data(), sizes[0]);
    take(constants.data(), sizes[1]);
    unsigned char *bytes = reinterpret_cast<unsigned char *>(arena.data());
    for (std::uint32_t launch = 0; launch < sizes[2]; launch++) {
        std::uint32_t head[4];
        Step step;
        take(head, sizeof head);
        take(&step, sizeof step);
        if (head[0] >= sizeof kernels / sizeof *kernels) return 1;
        for (std::uint32_t z = 0; z < head[3]; z++) {
            for (std::uint32_t y = 0; y < head[2]; y++) {
                for (std::uint32_t x = 0; x < head[1]; x++) {
                    kernels[head[0]](bytes, reinterpret_cast<unsigned char *>(constants.data()), step, x, y, z);
                }
            }
        }
    }
    return std::fwrite(bytes, 1, sizes[0], stdout) == sizes[0] ? 0 : 1;
}
