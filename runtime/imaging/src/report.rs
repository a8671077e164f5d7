//! Reports: one HTML file that needs no network and no script, from plain data.

mod bars;
mod image;
mod line;
mod plot;
mod reliability;
mod table;

#[cfg(test)]
mod tests;

pub use bars::{Bar, Bars, Histogram, HistogramSeries};
pub use image::Thumbnail;
pub use line::{LinePlot, Reference, Series};
pub use plot::Axis;
pub use reliability::{Reliability, ReliabilityBin};
pub use table::{Column, Table};

/// Says what a notice is: the word stands before the text, so that colour is not needed to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// A limit of what the report shows.
    Caution,
    /// Something failed, or must not be relied on.
    Alert,
}

/// One number that a reader should see first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFigure {
    /// What it is, such as `Dice, nodule`.
    pub label: String,
    /// The number as it is to be shown, with its unit.
    pub value: String,
    /// What stands under it, such as a confidence interval or a count; may be empty.
    pub detail: String,
}

impl KeyFigure {
    /// A key figure.
    #[must_use]
    pub fn new(label: impl Into<String>, value: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), detail: detail.into() }
    }
}

/// A titled drawing with its legend and, folded away, the numbers it was drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    html: String,
}

impl Figure {
    /// The figure's HTML, all text in it escaped.
    #[must_use]
    pub fn html(&self) -> &str {
        &self.html
    }
}

/// A report under construction: sections in the order they are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    title: String,
    subtitle: String,
    sections: Vec<String>,
    body: String,
}

impl Page {
    /// A page with a title and a line under it (model, date, data set).
    #[must_use]
    pub fn new(title: &str, subtitle: &str) -> Self {
        Self { title: title.into(), subtitle: subtitle.into(), sections: Vec::new(), body: String::new() }
    }

    /// Begins a section; sections are listed at the top of the page.
    pub fn section(&mut self, title: &str) -> &mut Self {
        if !self.sections.is_empty() {
            self.body.push_str("</section>\n");
        }
        self.sections.push(title.into());
        let number = self.sections.len();
        self.body.push_str(&format!("<section id=\"s{number}\">\n<h2>{}</h2>\n", escape(title)));
        self
    }

    /// A paragraph of plain text.
    pub fn paragraph(&mut self, text: &str) -> &mut Self {
        self.body.push_str(&format!("<p>{}</p>\n", escape(text)));
        self
    }

    /// A set-off remark.
    pub fn notice(&mut self, level: Level, text: &str) -> &mut Self {
        let (class, word) = match level {
            Level::Note => ("note", "Note"),
            Level::Caution => ("caution", "Caution"),
            Level::Alert => ("alert", "Alert"),
        };
        let text = escape(text);
        self.body.push_str(&format!("<p class=\"notice {class}\"><strong>{word}.</strong> {text}</p>\n"));
        self
    }

    /// A row of key figures.
    pub fn key_figures(&mut self, figures: &[KeyFigure]) -> &mut Self {
        self.body.push_str("<dl class=\"keys\">\n");
        for KeyFigure { label, value, detail } in figures {
            let (label, value, detail) = (escape(label), escape(value), escape(detail));
            self.body.push_str(&format!(
                "<div><dt>{label}</dt><dd>{value}</dd><dd class=\"detail\">{detail}</dd></div>\n"
            ));
        }
        self.body.push_str("</dl>\n");
        self
    }

    /// A table.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        self.body.push_str(&table.html());
        self
    }

    /// Figures side by side where there is room.
    pub fn figures(&mut self, figures: &[Figure]) -> &mut Self {
        self.body.push_str("<div class=\"figures\">\n");
        figures.iter().for_each(|figure| self.body.push_str(&figure.html));
        self.body.push_str("</div>\n");
        self
    }

    /// Pictures side by side, embedded in the page.
    pub fn gallery(&mut self, thumbnails: &[Thumbnail]) -> &mut Self {
        self.body.push_str("<div class=\"gallery\">\n");
        thumbnails.iter().for_each(|thumbnail| self.body.push_str(thumbnail.html()));
        self.body.push_str("</div>\n");
        self
    }

    /// The whole document. Its policy forbids every request and script, also to a text that slipped
    /// through.
    #[must_use]
    pub fn finish(&self) -> String {
        let (title, subtitle) = (escape(&self.title), escape(&self.subtitle));
        let entry = |(index, title): (usize, &String)| {
            format!("<li><a href=\"#s{}\">{}</a></li>", index + 1, escape(title))
        };
        let contents: String = self.sections.iter().enumerate().map(entry).collect();
        let nav = if self.sections.len() < 2 {
            String::new()
        } else {
            format!("<nav aria-label=\"Sections\"><ol>{contents}</ol></nav>\n")
        };
        let end = if self.sections.is_empty() { "" } else { "</section>\n" };
        let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{style}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n<p>{subtitle}</p>\n</header>\n{nav}<main>\n{body}{end}</main>\n\
             </body>\n</html>\n",
            style = include_str!("report/style.css"),
            body = self.body,
        )
    }
}

/// Text made safe in HTML content and quoted attributes; characters that XML forbids become U+FFFD.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A number for reading: four significant digits, trailing zeros dropped, powers of ten beyond 10^-4..10^7;
/// `n/a` where it is not finite.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "n/a".into();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{value:.2e}");
    }
    let whole_digits = (1..=7).find(|&digits| size < 10f64.powi(digits)).unwrap_or(7);
    let decimals = if size >= 1.0 || size == 0.0 {
        (4 - whole_digits).max(0)
    } else {
        // Leading zeros after the point do not count as significant.
        4 + (0..4).take_while(|&zeros| size < 10f64.powi(-zeros - 1)).count() as i32
    };
    let text = format!("{value:.*}", decimals as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}
