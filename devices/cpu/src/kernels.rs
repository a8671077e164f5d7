//! The public kernels: a tier's table of loops, its output rows shared among threads.

use crate::table::Table;
use crate::tier::{Tier, TierError};
use candor_core::kernels::Kernels;
use candor_core::ops::group_norm::Affine;
use candor_core::ops::{
    Add, AveragePool, Convolution, CopyChannels, Depthwise, GroupNorm, Lookup, MaxPool, Multiply, Remap,
    ResizeLinear, TransposedConvolution,
};
use candor_core::tensor::{BLOCK, Rows, RowsMut};

#[cfg(feature = "std")]
use crate::parts::{PARTS_LIMIT, Parts};
#[cfg(feature = "std")]
use crate::pool::Pool;
#[cfg(feature = "std")]
use std::sync::Mutex;

/// Greatest number of threads one [`CpuKernels`] may use.
#[cfg(feature = "std")]
pub const THREADS_LIMIT: usize = 64;
/// Greatest number of threads one [`CpuKernels`] may use; without `std` there is only the caller's.
#[cfg(not(feature = "std"))]
pub const THREADS_LIMIT: usize = 1;

/// Work, in bytes moved, below which waking other threads costs more than it saves: some ten microseconds.
const INLINE_WORK: usize = 128 << 10;
/// Work, in bytes moved, below which each thread takes one part: smaller parts cost more to begin than they
/// even out.
#[cfg(feature = "std")]
const EVEN_WORK: usize = 1 << 20;
/// Products that take about as long as moving one byte.
const PRODUCTS_PER_BYTE: usize = 32;
/// Blocks of channels whose rows of a Gram matrix one thread makes at a time.
const GRAM_BLOCKS: usize = 4;
/// Weights that no longer stay in a core's own cache; each thread then takes one part, to read them only
/// once.
const WEIGHTS_BYTES: usize = 256 << 10;

/// Integer kernels of one [`Tier`] on a fixed number of threads; implements [`Kernels`].
///
/// The number of threads never changes a byte. Nothing is allocated after [`CpuKernels::new`].
pub struct CpuKernels {
    tier: Tier,
    table: &'static Table,
    inline_work: usize,
    #[cfg(feature = "std")]
    pool: Pool,
}

impl core::fmt::Debug for CpuKernels {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CpuKernels").field("tier", &self.tier).field("threads", &self.threads()).finish()
    }
}

/// The loops of an available tier.
fn table_of(tier: Tier) -> Option<&'static Table> {
    if !tier.is_available() {
        return None;
    }
    match tier {
        Tier::Reference => Some(&crate::reference::TABLE),
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => Some(&crate::x86::avx2::TABLE),
        #[cfg(target_arch = "x86_64")]
        Tier::AvxVnni => Some(&crate::x86::avxvnni::TABLE),
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512Vnni => Some(&crate::x86::moments::TABLE),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Tier::Amx => Some(&crate::x86::amx::TABLE),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Tier::Neon => Some(&crate::arm::neon::TABLE),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Tier::NeonDot => Some(&crate::arm::neondot::TABLE),
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        Tier::I8mm => Some(&crate::arm::i8mm::TABLE),
        #[cfg(any(test, all(target_arch = "arm", feature = "dsp")))]
        Tier::Dsp => Some(&crate::cortex_m::dsp::TABLE),
        #[cfg(any(test, all(target_arch = "arm", feature = "helium")))]
        Tier::Helium => Some(&crate::cortex_m::helium::TABLE),
        #[allow(unreachable_patterns, reason = "each architecture handles its own tiers above")]
        _ => None,
    }
}

impl CpuKernels {
    /// Kernels of `tier` on `threads` threads, the caller's included; the others start here and end with
    /// the value.
    ///
    /// # Errors
    /// [`TierError`] when this machine lacks the tier (the message lists those it has), when `threads` is
    /// not in `1..=`[`THREADS_LIMIT`], or when the system refuses a thread.
    pub fn new(tier: Tier, threads: usize) -> Result<Self, TierError> {
        let table = table_of(tier).ok_or(TierError::Unavailable(tier))?;
        if !(1..=THREADS_LIMIT).contains(&threads) {
            return Err(TierError::Threads { requested: threads, limit: THREADS_LIMIT });
        }
        Ok(Self {
            tier,
            table,
            inline_work: INLINE_WORK,
            #[cfg(feature = "std")]
            pool: Pool::new(threads - 1).map_err(TierError::Spawn)?,
        })
    }

    /// As [`CpuKernels::new`], sharing even the smallest operator among threads: slower, but the way to test
    /// the division of small operators.
    ///
    /// # Errors
    /// Those of [`CpuKernels::new`].
    pub fn eager(tier: Tier, threads: usize) -> Result<Self, TierError> {
        Self::new(tier, threads).map(|kernels| Self { inline_work: 0, ..kernels })
    }

    /// The tier in use.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// Threads in use, the caller's included.
    pub fn threads(&self) -> usize {
        #[cfg(feature = "std")]
        let threads = self.pool.threads();
        #[cfg(not(feature = "std"))]
        let threads = 1;
        threads
    }

    /// Runs `rounds` of the tier's dot product on registers alone, on the caller's thread, and returns the
    /// number of products: divided by the time taken, the roof that kernels are measured against. Zero for
    /// the reference.
    pub fn roof_products(&self, rounds: usize) -> u64 {
        // SAFETY: `table_of` only hands out tables of available tiers.
        unsafe { (self.table.roof)(rounds) }
    }

    /// Shares the covered rows among threads.
    #[cfg(feature = "std")]
    fn share(&self, work: usize, weights: usize, output: RowsMut<'_>, part: &(dyn Fn(RowsMut<'_>) + Sync)) {
        let threads = self.pool.threads();
        if threads == 1 || work < self.inline_work || output.count < 2 {
            return part(output);
        }
        let even = weights > WEIGHTS_BYTES || work < EVEN_WORK || 2 * threads > PARTS_LIMIT;
        let parts = Parts::new(output, if even { threads } else { 2 * threads });
        self.pool.run(&|thread| parts.take_all(thread, threads, part));
    }

    /// Without threads there is one part.
    #[cfg(not(feature = "std"))]
    fn share(&self, _: usize, _: usize, output: RowsMut<'_>, part: &(dyn Fn(RowsMut<'_>) + Sync)) {
        let _ = (self.inline_work, WEIGHTS_BYTES);
        part(output);
    }

    /// Hands items to the threads, one at a time to each, and returns when all are done; `work` is what they
    /// cost together, in bytes moved.
    pub fn for_each<T>(&self, work: usize, items: impl Iterator<Item = T> + Send, body: impl Fn(T) + Sync) {
        #[cfg(feature = "std")]
        if self.pool.threads() > 1 && work >= self.inline_work {
            let items = Mutex::new(items);
            let next = || items.lock().ok()?.next();
            return self.pool.run(&|_| {
                while let Some(item) = next() {
                    body(item);
                }
            });
        }
        let _ = work;
        items.for_each(body);
    }

    /// Shares numbered parts of `entries` among threads; `cut(index)` is the length of part `index`.
    #[cfg(feature = "std")]
    fn share_blocks<T: Send>(
        &self,
        work: usize,
        entries: &mut [T],
        cut: &(dyn Fn(usize) -> usize + Sync),
        part: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let remaining = Mutex::new((0, entries));
        let next = || {
            let mut slot = remaining.lock().ok()?;
            let (index, rest) = core::mem::take(&mut *slot);
            if rest.is_empty() {
                return None;
            }
            let length = cut(index).clamp(1, rest.len());
            let (mine, rest) = rest.split_at_mut(length);
            *slot = (index + 1, rest);
            Some((index, mine))
        };
        let body = |_| {
            while let Some((index, mine)) = next() {
                part(index, mine);
            }
        };
        if work < self.inline_work { body(0) } else { self.pool.run(&body) }
    }

    /// Without threads the parts follow one another.
    #[cfg(not(feature = "std"))]
    fn share_blocks<T: Send>(
        &self,
        _: usize,
        entries: &mut [T],
        cut: &(dyn Fn(usize) -> usize + Sync),
        part: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let (mut index, mut rest) = (0, entries);
        while !rest.is_empty() {
            let (mine, after) = rest.split_at_mut(cut(index).clamp(1, rest.len()));
            part(index, mine);
            (index, rest) = (index + 1, after);
        }
    }
}

/// Bytes moved to write the covered rows once.
fn bytes(output: &RowsMut<'_>) -> usize {
    output.count.saturating_mul(output.layout.row_bytes())
}

/// Implements the operators whose only splitting is by rows of the output; the bracket gives extra work per
/// byte.
macro_rules! by_rows {
    ($($name:ident($op:ty, $($input:ident),+) [$taps:expr];)+) => {
        $(
            fn $name(&self, op: &$op, $($input: Rows<'_>,)+ output: RowsMut<'_>) {
                let taps: fn(&$op) -> usize = $taps;
                let work = bytes(&output).saturating_mul(taps(op));
                // SAFETY: `table_of` only hands out tables of available tiers.
                self.share(work, 0, output, &|rows| unsafe { (self.table.$name)(op, $($input,)+ rows) });
            }
        )+
    };
}

impl Kernels for CpuKernels {
    fn convolution(&self, op: &Convolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        let [rows, columns] = op.window.kernel;
        let products = bytes(&output).saturating_mul(rows * columns * input.layout.channels);
        let (work, weights) = (products / PRODUCTS_PER_BYTE, op.filter.weights.len());
        // SAFETY: `table_of` only hands out tables of available tiers.
        self.share(work, weights, output, &|rows| unsafe { (self.table.convolution)(op, input, rows) });
    }

    fn transposed(&self, op: &TransposedConvolution<'_>, input: Rows<'_>, output: RowsMut<'_>) {
        let taps = (op.kernel[0] * op.kernel[1]).div_ceil((op.stride[0] * op.stride[1]).max(1));
        let products = bytes(&output).saturating_mul(taps * input.layout.channels);
        let (work, weights) = (products / PRODUCTS_PER_BYTE, op.filter.weights.len());
        // SAFETY: `table_of` only hands out tables of available tiers.
        self.share(work, weights, output, &|rows| unsafe { (self.table.transposed)(op, input, rows) });
    }

    by_rows! {
        depthwise(Depthwise<'_>, input) [|op| 1 + op.window.kernel[0] * op.window.kernel[1] / 4];
        average_pool(AveragePool<'_>, input) [|op| 1 + op.window.kernel[0] * op.window.kernel[1] / 4];
        max_pool(MaxPool, input) [|op| 1 + op.window.kernel[0] * op.window.kernel[1] / 16];
        add(Add, a, b) [|_| 1];
        multiply(Multiply, a, b) [|_| 1];
        lookup(Lookup<'_>, input) [|_| 4];
        remap(Remap<'_>, input) [|_| 1];
        resize_linear(ResizeLinear<'_>, input) [|_| 4];
        copy_channels(CopyChannels<'_>, input) [|_| 1];
    }

    fn group_norm(&self, op: &GroupNorm<'_>, affine: &[Affine], input: Rows<'_>, output: RowsMut<'_>) {
        // SAFETY: `table_of` only hands out tables of available tiers.
        let part = |rows: RowsMut<'_>| unsafe { (self.table.group_norm)(op, affine, input, rows) };
        self.share(bytes(&output), 0, output, &part);
    }

    fn channel_sums(&self, input: Rows<'_>, sums: &mut [[u64; 2]]) {
        let count = input.layout.channels.min(sums.len());
        let work = input.layout.row_bytes().saturating_mul(input.layout.height);
        // SAFETY: `table_of` only hands out tables of available tiers.
        let part = |block, sums: &mut [[u64; 2]]| unsafe { (self.table.channel_sums)(input, block, sums) };
        self.share_blocks(work, &mut sums[..count], &|_| BLOCK, &part);
    }

    fn gram(&self, input: Rows<'_>, sums: &[[u64; 2]], gram: &mut [u64]) {
        let triangle = |channels: usize| channels * (channels + 1) / 2;
        let length = triangle(input.layout.channels).min(gram.len());
        let work = input.layout.row_bytes().saturating_mul(input.layout.height * input.layout.blocks());
        // Rearranging codes is shared by the rows of one part.
        let alone = self.threads() == 1 || work < self.inline_work;
        let run = if alone { input.layout.blocks() } else { GRAM_BLOCKS } * BLOCK;
        let cut = |part: usize| triangle((part + 1) * run) - triangle(part * run);
        let first = run / BLOCK;
        // SAFETY: `table_of` only hands out tables of available tiers.
        let part =
            |part, entries: &mut [u64]| unsafe { (self.table.gram)(input, sums, part * first, entries) };
        self.share_blocks(work, &mut gram[..length], &cut, &part);
    }
}
