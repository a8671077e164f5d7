//! The digest of a tensor against SHA-256 of its values written one by one.

use super::*;
use crate::tensor::Halo;
use crate::tests::Random;

/// The definition, value by value.
fn plain(rows: Rows<'_>) -> [u8; 32] {
    let layout = rows.layout;
    let mut bytes = Vec::new();
    for extent in [layout.height, layout.width, layout.channels] {
        bytes.extend((extent as u32).to_le_bytes());
    }
    for y in 0..layout.height {
        for x in 0..layout.width {
            for c in 0..layout.channels {
                let value = rows.value(y, x, c).to_le_bytes();
                bytes.extend(&value[..layout.element.bytes()]);
            }
        }
    }
    Sha256::digest(bytes).into()
}

#[test]
fn digests_depend_on_values_alone_whatever_the_layout_and_the_parts() {
    let mut random = Random(71);
    for element in [Element::Code, Element::Accumulator] {
        for channels in 1..=10 {
            // Rows shorter and longer than what is hashed at once, for every number of bytes per pixel.
            for width in [1, 3, 63, 64, 65, 130, 1025] {
                let halo = Halo { top: 2, left: 1, bottom: 1, right: 3 };
                let layout = Layout::packed(3, width, channels, halo, element);
                let data: Vec<u8> = (0..layout.bytes()).map(|_| random.bits() as u8).collect();
                let rows = Rows::whole(layout, &data);
                let expected = plain(rows);
                assert_eq!(tensor(rows), expected, "{channels} channels, {width} columns, {element:?}");
                let mut parts = TensorDigest::new(&layout);
                let cut = 3 * layout.row_stride;
                parts.add(Rows { data: &data[..cut], ..rows });
                parts.add(Rows { origin: 3, data: &data[cut..], ..rows });
                assert_eq!(parts.finish(), expected, "{channels} channels, {width} columns in two parts");
            }
        }
    }
}
