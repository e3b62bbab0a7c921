//! Columns by the rules of Go's tabwriter: a cell ends with a tab, a column is as wide as its widest cell plus the
//! padding, but at least the minimum; the last cell of a line belongs to no column.

use unicode_width::UnicodeWidthStr;

/// Docker's tables: columns at least ten wide, three apart.
pub(crate) fn align(text: &str) -> String {
    align_with(text, 10, 3)
}

/// Aligns a table with a minimum width of the columns and a padding between them.
pub(crate) fn align_with(text: &str, minimum: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    for column in 0..columns {
        // A column is a run of lines that have a terminated cell there.
        let mut start = 0;
        while start < lines.len() {
            if lines[start].len() <= column + 1 {
                start += 1;
                continue;
            }
            let run = lines[start..].iter().take_while(|cells| cells.len() > column + 1).count();
            let widest =
                lines[start..start + run].iter().map(|cells| cells[column].width()).max().unwrap_or(0);
            for row in &mut widths[start..start + run] {
                row[column] = minimum.max(widest + padding);
            }
            start += run;
        }
    }
    let mut out = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        let last = cells.len() - 1;
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            out.push_str(cell);
            if index < last {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let cases = [
            ("ID\tNAMES\n", "ID        NAMES\n"),
            ("CONTAINER ID\tX\nabc\ty\n", "CONTAINER ID   X\nabc            y\n"),
            ("a\t\tc\n", "a                   c\n"),
            ("日本語日本\tx\n", "日本語日本   x\n"),
            ("only\n", "only\n"),
            ("long enough cell\tx\nplain\na\tb\n", "long enough cell   x\nplain\na         b\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(align(text), expected);
        }
    }
}
