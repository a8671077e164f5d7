//! Both ways to look up codes with 512-bit registers, whichever of them this CPU's tier takes.

use super::*;

/// [`Translate::translate`] as a function.
type Function = unsafe fn(*const u8, *mut u8, usize, &[u8; 256], u32);

/// Checks every code in every lane, for rows of any length, against the table itself.
fn check(name: &str, function: Function) {
    let table: [u8; 256] = core::array::from_fn(|code| (code * 167 + code / 7) as u8);
    for lanes in [u32::MAX, 0xff, 0x00ff_ff00, 0xff00_0000] {
        for pixels in (0..70).chain([128, 1000]) {
            let source: Vec<u8> = (0..pixels * 4).map(|at| (at * 37 + at / 256 * 3) as u8).collect();
            let mut target = vec![0xa5; pixels * 4];
            // SAFETY: the caller checked that the CPU has the instructions; both slices hold the pixels.
            unsafe { function(source.as_ptr(), target.as_mut_ptr(), pixels, &table, lanes) };
            for (at, (&code, &entry)) in source.iter().zip(&target).enumerate() {
                let chosen = lanes >> (at % 4 * 8) & 1 == 1;
                let expected = if chosen { table[usize::from(code)] } else { 0xa5 };
                assert_eq!(entry, expected, "{name}, code {code}, byte {at} of {pixels} pixels, {lanes:x}");
            }
        }
    }
}

#[test]
fn shuffles_and_permutations_look_up_every_code() {
    if !crate::Tier::Avx512Vnni.is_available() {
        println!("SKIPPED avx512vnni: this CPU lacks it");
        return;
    }
    check("shuffles", shuffle);
    if crate::tier::has_byte_permutations() {
        check("permutations", permute);
    }
}
