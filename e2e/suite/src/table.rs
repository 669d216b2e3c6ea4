//! Measurements as plain tables.

/// Median of the values; `NaN` for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The smallest value that so many percent of them do not exceed; `NaN` for none.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Row of a table of times: median, 95th percentile and all values, in the order they were measured.
pub fn times(what: &str, values: &[f64]) -> Vec<String> {
    let all: Vec<String> = values.iter().map(|value| format!("{value:.0}")).collect();
    vec![
        what.to_owned(),
        format!("{:.0}", median(values)),
        format!("{:.0}", percentile(values, 95)),
        all.join(" "),
    ]
}

/// Rows with the columns aligned under a heading, for a person to read.
pub fn render(title: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([header[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(i, cell)| format!("{cell:<w$}", w = width(i)))
            .collect();
        format!("  {}\n", padded.join("  ").trim_end())
    };
    let body: String = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()))
        .collect();
    format!("\n{title}\n{}{body}", line(header.to_vec()))
}
