//! Reports: well formed whatever is put in, without requests or scripts, and true to their numbers.

use super::image::base64;
use super::plot::Scale;
use super::*;
use crate::frame::{Frame, Samples, Source};
use crate::read;

const HOSTILE: &str = "<script>alert('x')</script> & \"quotes\" \u{0} </svg></table>";

fn plot(points: Vec<(f64, f64)>) -> LinePlot {
    LinePlot {
        title: HOSTILE.into(),
        remark: HOSTILE.into(),
        x: Axis::new(HOSTILE),
        y: Axis::new(HOSTILE),
        series: vec![Series { name: HOSTILE.into(), points }, Series { name: "b".into(), points: vec![] }],
        references: vec![Reference::Diagonal, Reference::Level(0.5), Reference::Level(f64::NAN)],
    }
}

fn bin(low: f64, count: u64) -> ReliabilityBin {
    ReliabilityBin { low, high: low + 0.5, confidence: low + 0.3, accuracy: low + 0.1, count }
}

/// A page with every building block, all text hostile.
fn hostile_page() -> String {
    let frame = Frame::new(5, 3, 1, Samples::U8((0..15).collect()), Source::new(HOSTILE, 8)).unwrap();
    let mut table = Table::new(HOSTILE, &[HOSTILE, "b"]);
    table.row([HOSTILE]).row(["1", "2", "3"]);
    table.best = Some(0);
    let reliability =
        Reliability { title: HOSTILE.into(), remark: HOSTILE.into(), bins: vec![bin(0.0, 0), bin(0.5, 7)] };
    let histogram = Histogram {
        title: HOSTILE.into(),
        remark: HOSTILE.into(),
        label: HOSTILE.into(),
        edges: vec![0.0, 1.0, 2.0],
        series: ["a", HOSTILE].map(|name| HistogramSeries { name: name.into(), counts: vec![1, 2] }).to_vec(),
    };
    let bar = |value, interval| Bar { name: HOSTILE.into(), value, interval };
    let bars = Bars {
        title: HOSTILE.into(),
        remark: HOSTILE.into(),
        axis: Axis::new(HOSTILE),
        bars: vec![bar(1.0, Some((0.5, 1.5))), bar(-2.0, None), bar(f64::NAN, Some((f64::NAN, 1.0)))],
    };
    let mut page = Page::new(HOSTILE, HOSTILE);
    page.section(HOSTILE).paragraph(HOSTILE).notice(Level::Alert, HOSTILE).table(&table);
    page.section("second").key_figures(&[KeyFigure::new(HOSTILE, HOSTILE, HOSTILE)]).figures(&[
        plot(vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]).figure(),
        reliability.figure(),
        histogram.figure(),
        bars.figure(),
    ]);
    page.gallery(&[Thumbnail::new(HOSTILE, &frame).unwrap()]);
    page.finish()
}

/// Fails unless every tag is closed in order; returns the names of all elements.
fn check_nesting(html: &str) -> Vec<String> {
    let body = &html[html.find("<html").unwrap()..];
    // The style sheet is not markup.
    let body =
        format!("{}{}", &body[..body.find("<style>").unwrap()], &body[body.find("</style>").unwrap() + 8..]);
    let (mut open, mut names) = (Vec::new(), Vec::new());
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("every < begins a tag");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "</{name}>");
            continue;
        }
        let name = tag.split([' ', '\n']).next().unwrap().to_string();
        names.push(name.trim_end_matches('/').to_string());
        if !tag.ends_with('/') && !["meta", "img"].contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    names
}

#[test]
fn hostile_text_stays_text_and_every_tag_is_closed() {
    let page = hostile_page();
    let names = check_nesting(&page);
    for expected in ["section", "table", "figure", "svg", "img", "details", "nav"] {
        assert!(names.iter().any(|name| name == expected), "{expected}");
    }
    assert!(!names.iter().any(|name| name == "script"));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)") && !page.contains('\0'));
}

#[test]
fn nothing_is_fetched() {
    let page = hostile_page();
    for word in ["http:", "https:", "url(", "@import", "src=\"/", "<link"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn drawings_never_hold_a_number_that_is_not_one() {
    let points = vec![(f64::MIN, f64::MAX), (f64::NAN, 0.0), (0.0, f64::INFINITY), (f64::MAX, f64::MIN)];
    for points in [points, vec![], vec![(3.0, 3.0)], vec![(1e-300, -1e-300), (0.0, 0.0)]] {
        let figure = plot(points).figure();
        let drawing = figure.html().split("<details>").next().unwrap();
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
    }
}

#[test]
fn points_left_out_are_counted() {
    let html = plot(vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]).figure().html().to_string();
    assert!(html.contains("1 of 3 points"), "{html}");
}

#[test]
fn pictures_have_a_text_and_decode_again() {
    let frame = Frame::new(5, 3, 1, Samples::U8((0..15).collect()), Source::new("test", 8)).unwrap();
    let html = Thumbnail::new("a & b", &frame).unwrap().html().to_string();
    assert!(html.contains("alt=\"a &amp; b\""));
    let data = html.split("base64,").nth(1).unwrap().split('"').next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    std::fs::write(&path, decode(data)).unwrap();
    assert_eq!(read::open(&path).unwrap().samples(), frame.samples());
}

#[test]
fn large_pictures_are_reduced_by_block_means() {
    let values = (0..1025).map(|column| if column % 3 == 0 { 90 } else { 0 }).collect();
    let frame = Frame::new(1025, 1, 1, Samples::U8(values), Source::new("test", 8)).unwrap();
    let html = Thumbnail::new("", &frame).unwrap().html().to_string();
    assert!(html.contains("width=\"341\" height=\"1\""), "{html}");
}

/// The inverse of [`base64`], for tests.
fn decode(text: &str) -> Vec<u8> {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let digits: Vec<usize> = text.chars().filter_map(|c| alphabet.iter().position(|&a| a == c)).collect();
    let chunk = |digits: &[usize]| -> Vec<u8> {
        let group = digits.iter().fold(0, |group, digit| group << 6 | digit) << (6 * (4 - digits.len()));
        (0..digits.len() - 1).map(|byte| (group >> (16 - 8 * byte)) as u8).collect()
    };
    digits.chunks(4).flat_map(chunk).collect()
}

/// RFC 4648, section 10.
#[test]
fn base64_gives_the_published_vectors() {
    let vectors = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
    ];
    for (plain, encoded) in vectors {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
    assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
}

#[test]
fn numbers_read_well_at_every_size() {
    let cases = [
        (0.0, "0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (0.12345, "0.1235"),
        (0.00123456, "0.001235"),
        (1234.56, "1235"),
        (-12.3456, "-12.35"),
        (100.0, "100"),
        (1e-9, "1.00e-9"),
        (12_345_678.0, "1.23e7"),
        (f64::NAN, "n/a"),
    ];
    for (value, text) in cases {
        assert_eq!(number(value), text);
    }
}

#[test]
fn ticks_are_round_and_span_the_data() {
    let scale = Scale::new(&Axis::new(""), [0.13, 0.97].into_iter());
    assert!(scale.low <= 0.13 && scale.high >= 0.97);
    assert!((scale.low, scale.high) == (0.0, 1.0), "{} {}", scale.low, scale.high);
    assert_eq!((scale.place(-5.0), scale.place(0.5), scale.place(9.0)), (0.0, 0.5, 1.0));
    let given = Scale::new(&Axis { label: String::new(), range: Some((2.0, 4.0)) }, [99.0].into_iter());
    assert_eq!((given.low, given.high), (2.0, 4.0));
}

#[test]
fn a_reliability_diagram_lists_its_counts() {
    let diagram =
        Reliability { title: "t".into(), remark: String::new(), bins: vec![bin(0.0, 3), bin(0.5, 41)] }
            .figure();
    assert!(diagram.html().contains("share of 44 predictions"));
    assert!(diagram.html().contains("<td class=\"number\">41</td>"));
    let empty = Reliability { title: "t".into(), remark: String::new(), bins: vec![] }.figure();
    assert!(empty.html().contains("no predictions"));
}

#[test]
fn long_series_are_thinned_and_keep_their_ends() {
    let points: Vec<(f64, f64)> =
        (0..100_000).map(|index| (f64::from(index), f64::from(index % 7))).collect();
    let html = plot(points).figure().html().to_string();
    assert!(html.len() < 60_000, "{}", html.len());
    assert!(html.contains("thinned") && html.contains("<td class=\"number\">99999</td>"));
}
