//! Channel sums and the Gram matrix.

use super::cases::{CHANNELS, Random, WIDTHS, all_kernels, count};
use candor_core::kernels::{Kernels, Reference};
use candor_core::tensor::Halo;

/// Compares both statistics of one tensor on every tier and thread count.
fn check(random: &mut Random, kernels: &[crate::CpuKernels], extents: [usize; 3], code: Option<u8>) {
    let halo = random.halo();
    let mut input = random.tensor(extents, halo);
    if let Some(code) = code {
        input.data.fill(code);
    }
    let channels = extents[2];
    let triangle = channels * (channels + 1) / 2;
    let (mut sums, mut gram) = (vec![[1; 2]; channels], vec![1; triangle]);
    Reference.channel_sums(input.rows(), &mut sums);
    Reference.gram(input.rows(), &sums, &mut gram);
    for kernels in kernels {
        // One entry more than there are channels must stay as it was.
        let (mut a, mut b) = (vec![[7; 2]; channels + 1], vec![7; triangle + 1]);
        kernels.channel_sums(input.rows(), &mut a);
        kernels.gram(input.rows(), &a, &mut b);
        assert_eq!(a[..channels], sums, "{kernels:?} {extents:?}");
        assert_eq!(b[..triangle], gram, "{kernels:?} {extents:?}");
        assert_eq!((a[channels], b[triangle]), ([7; 2], 7), "{kernels:?} {extents:?}");
    }
}

#[test]
fn statistics_at_the_edges_equal_the_reference() {
    let kernels = all_kernels();
    let mut random = Random(31);
    for width in WIDTHS {
        for channels in [1, 4, 6, 9] {
            check(&mut random, &kernels, [3, width, channels], None);
        }
    }
    // More pixels than are rearranged at a time.
    for extents in [[9, 200, 17], [8, 70, 67]] {
        check(&mut random, &kernels, extents, None);
    }
    for seed in 0..count() {
        let mut random = Random(5000 + seed);
        let extents = [random.between(1, 5), random.one_of(&WIDTHS), random.one_of(&CHANNELS[..13])];
        check(&mut random, &kernels, extents, None);
    }
}

/// More full-scale products per lane than an unsigned 32-bit sum holds: a late flush would wrap.
#[test]
fn long_sums_of_the_greatest_code_do_not_wrap() {
    let mut random = Random(32);
    let extents = if cfg!(target_arch = "aarch64") { [66, 8100, 1] } else { [130, 8200, 1] };
    let input = {
        let mut input = random.tensor(extents, Halo::default());
        input.data.fill(255);
        input
    };
    let pixels = (extents[0] * extents[1]) as u64;
    for kernels in all_kernels() {
        let (mut sums, mut gram) = ([[0; 2]], [0]);
        kernels.channel_sums(input.rows(), &mut sums);
        kernels.gram(input.rows(), &sums, &mut gram);
        assert_eq!(sums, [[255 * pixels, 255 * 255 * pixels]], "{kernels:?}");
        assert_eq!(gram, [255 * 255 * pixels], "{kernels:?}");
    }
}
