//! Aligned columns for the terminal.

/// A table with a heading; numbers stand to the right.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |text: &str| text == "-" || text.parse::<f64>().is_ok();
    let columns: Vec<(usize, bool)> = heading
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = || rows.iter().filter_map(|row| row.get(column));
            let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
            let numbers = !rows.is_empty() && cells().all(|cell| is_number(cell));
            (width.max(name.chars().count()), numbers)
        })
        .collect();
    let mut out = String::new();
    let heading = heading.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&columns)
            .map(|(cell, (width, numbers))| match numbers {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["h:1".to_owned(), "7".to_owned()],
            vec!["host:8701".to_owned(), "1234567".to_owned()],
        ];
        assert_eq!(
            table(&["PEER", "LAG"], &rows),
            "PEER           LAG\nh:1              7\nhost:8701  1234567\n"
        );
    }
}
