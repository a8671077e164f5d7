//! Tables of a report.

use super::escape;

/// A column's heading and whether it holds numbers, which stand flush right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// Whether the cells are numbers.
    pub numeric: bool,
}

/// A table; the first cell of each row names the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the table shows; may be empty.
    pub caption: String,
    /// Headings; cells beyond them get an empty heading.
    pub columns: Vec<Column>,
    /// Cells as they are to be shown; short rows are filled with empty cells.
    pub rows: Vec<Vec<String>>,
    /// Index of a row to emphasise.
    pub best: Option<usize>,
}

impl Table {
    /// An empty table whose first column is text and whose others are numbers.
    #[must_use]
    pub fn new(caption: &str, columns: &[&str]) -> Self {
        let column = |(index, name): (usize, &&str)| Column { name: (*name).into(), numeric: index > 0 };
        let columns = columns.iter().enumerate().map(column).collect();
        Self { caption: caption.into(), columns, rows: Vec::new(), best: None }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// The table's HTML, all text in it escaped.
    #[must_use]
    pub fn html(&self) -> String {
        let width = self.rows.iter().map(Vec::len).chain([self.columns.len()]).max().unwrap_or(0);
        let numeric = |index: usize| self.columns.get(index).is_some_and(|column| column.numeric);
        let class = |index: usize| if numeric(index) { " class=\"number\"" } else { "" };
        let mut html = String::from("<div class=\"scroll\"><table>\n");
        if !self.caption.is_empty() {
            html.push_str(&format!("<caption>{}</caption>\n", escape(&self.caption)));
        }
        html.push_str("<thead><tr>");
        for index in 0..width {
            let name = self.columns.get(index).map_or(String::new(), |column| escape(&column.name));
            html.push_str(&format!("<th scope=\"col\"{}>{name}</th>", class(index)));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for (number, row) in self.rows.iter().enumerate() {
            html.push_str(if self.best == Some(number) { "<tr class=\"best\">" } else { "<tr>" });
            for index in 0..width {
                let cell = row.get(index).map_or(String::new(), |cell| escape(cell));
                let (class, tag) = (class(index), if index == 0 { "th scope=\"row\"" } else { "td" });
                html.push_str(&format!("<{tag}{class}>{cell}</{}>", if index == 0 { "th" } else { "td" }));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody></table></div>\n");
        html
    }
}
