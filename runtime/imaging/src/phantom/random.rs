//! Random numbers that are the same on every machine: integers and exact or correctly rounded steps only.

#[cfg(test)]
mod tests;

/// SplitMix64 (Steele, Lea, Flood 2014; constants by Vigna): the output that follows `state`.
pub(crate) fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// xoshiro256** 1.0 (Blackman and Vigna 2018), seeded by SplitMix64.
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    /// A stream of its own for every list of keys, so that one factor's draws never move another's.
    pub fn new(seed: u64, keys: &[u64]) -> Self {
        let mixed = keys.iter().fold(split_mix(seed), |mixed, &key| split_mix(mixed ^ split_mix(key)));
        let step = 0x9e37_79b9_7f4a_7c15u64;
        Self { state: [0u64, 1, 2, 3].map(|word| split_mix(mixed.wrapping_add(word.wrapping_mul(step)))) }
    }

    pub fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..count by the high half of a product; the bias is below count / 2^64.
    pub fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }

    /// A unit vector of uniform direction: a point of the disc by rejection, divided by its length.
    pub fn direction(&mut self) -> (f64, f64) {
        loop {
            let (x, y) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.01 && square <= 1.0 {
                let length = square.sqrt();
                return (x / length, y / length);
            }
        }
    }

    /// Mean 0, variance 1 to 10 digits, within ±6: twelve uniform 16-bit numbers summed (Irwin and Hall).
    pub fn normal(&mut self) -> f64 {
        let mut sum = 0i64;
        for _ in 0..3 {
            let bits = self.next();
            sum += [0, 16, 32, 48].map(|shift| ((bits >> shift) & 0xffff) as i64).iter().sum::<i64>();
        }
        // The mean of the sum is 12 · 32767.5 = 393,210, its variance 65,536² − 1.
        (sum - 393_210) as f64 / 65_536.0
    }
}

/// Smooth random field in [0, 1): values at the corners of a unit grid, blended by smoothstep (Perlin's
/// value noise).
pub(crate) fn value_noise(seed: u64, x: f64, y: f64) -> f64 {
    // Shifted to positive numbers, where the cast truncates downwards; the fields span far less than 2^20
    // cells.
    let (x, y) = (x + 1_048_576.0, y + 1_048_576.0);
    let (column, row) = (x as u64, y as u64);
    let (u, v) = (x - column as f64, y - row as f64);
    let (u, v) = (u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v));
    let corner = |dx: u64, dy: u64| {
        let key = ((column + dx) << 32) | (row + dy);
        (split_mix(seed.wrapping_add(key.wrapping_mul(0xd6e8_feb8_6659_fd93))) >> 11) as f64
            * (1.0 / 9_007_199_254_740_992.0)
    };
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * u;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * u;
    top + (bottom - top) * v
}

/// Three octaves of [`value_noise`], centred: mean near 0, within ±0.875; `scale` is the coarsest cell.
pub(crate) fn fractal_noise(seed: u64, x: f64, y: f64, scale: f64) -> f64 {
    let (x, y) = (x / scale, y / scale);
    let coarse = value_noise(seed, x, y) - 0.5;
    let middle = value_noise(seed ^ 1, x * 2.0, y * 2.0) - 0.5;
    let fine = value_noise(seed ^ 2, x * 4.0, y * 4.0) - 0.5;
    coarse + middle * 0.5 + fine * 0.25
}
