//! What is shown: tables in Markdown on standard output, results in JSON, bars in SVG.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::measure::Run;
use crate::stats::Summary;

/// One contender's results in one suite.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Until the app's first instruction.
    pub start: Summary,
    /// Until its end.
    pub end: Summary,
}

/// The rows of a suite.
pub fn rows(results: Vec<(String, Vec<Run>)>) -> Vec<Row> {
    let row = |(name, runs): (String, Vec<Run>)| Row {
        name,
        start: Summary::of(runs.iter().map(|run| run.start)),
        end: Summary::of(runs.iter().map(|run| run.end)),
    };
    results.into_iter().map(row).collect()
}

/// A suite of the file of results as a table; ratios are those of the medians of the whole time
/// to the first row's.
pub fn table_of(suite: &Value) -> String {
    let title = suite["title"].as_str().unwrap_or_default();
    let mut text = format!(
        "\n### {title}\n\n| us | first instruction | min | end | min | ratio | runs |\n|---|--:|--:|--:|--:|--:|--:|\n"
    );
    let rows = suite["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number =
        |row: &Value, what: &str, which: &str| row[what][which].as_f64().unwrap_or_default();
    for row in rows {
        let median = number(row, "end", "median");
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {median:.0} | {:.0} | {:.2} | {} |",
            row["name"].as_str().unwrap_or_default(),
            number(row, "start", "median"),
            number(row, "start", "min"),
            number(row, "end", "min"),
            median / number(&rows[0], "end", "median"),
            row["end"]["runs"],
        );
    }
    text
}

/// The suite for the file of results.
pub fn to_json(title: &str, rows: &[Row]) -> Value {
    let row = |row: &Row| json!({"name": row.name, "start": row.start.to_json(), "end": row.end.to_json()});
    json!({"title": title, "unit": "us", "rows": rows.iter().map(row).collect::<Vec<_>>()})
}

const ROW: f64 = 22.0;
const LEFT: f64 = 230.0;
const WIDTH: f64 = 860.0;
/// Bars end here, with their figure beside them.
const RIGHT: f64 = 130.0;

/// All suites of the file of results as bars: dark until the first instruction, light until the
/// end. What takes more than eight times the first row's time is cut, and says so.
pub fn to_svg(suites: &Map<String, Value>) -> String {
    let mut body = String::new();
    let mut y = 30.0;
    for suite in suites.values() {
        let rows = suite["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let median = |row: &Value, what: &str| row[what]["median"].as_f64().unwrap_or_default();
        let Some(first) = rows.first() else { continue };
        let scale = (WIDTH - LEFT - RIGHT) / (8.0 * median(first, "end"));
        let _ = writeln!(body, "<text x='10' y='{y}' class='t'>{}</text>", escape(&suite["title"]));
        for row in rows {
            y += ROW;
            let most = WIDTH - LEFT - RIGHT;
            let (start, end) = (median(row, "start"), median(row, "end"));
            let (dark, light) = ((start * scale).min(most), (end * scale).min(most));
            let cut = if end * scale > most { " ..." } else { "" };
            let top = y - 13.0;
            let _ = writeln!(
                body,
                "<text x='{}' y='{y}' text-anchor='end'>{}</text>\
                 <rect x='{LEFT}' y='{top}' width='{light:.1}' height='16' class='l'/>\
                 <rect x='{LEFT}' y='{top}' width='{dark:.1}' height='16' class='d'/>\
                 <text x='{:.1}' y='{y}'>{:.2} ms ({:.1}x){cut}</text>",
                LEFT - 8.0,
                escape(&row["name"]),
                LEFT + light + 6.0,
                end / 1000.0,
                end / median(first, "end"),
            );
        }
        y += 2.0 * ROW;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' font-family='sans-serif' font-size='13'>\
         <style>.d{{fill:#2b6cb0}}.l{{fill:#a3c4e8}}.t{{font-weight:bold}}</style>\
         <rect width='{WIDTH}' height='{y}' fill='#fff'/>\n{body}</svg>\n"
    )
}

fn escape(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&#39;")
}
