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
    let rows = suite["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has_start = rows.iter().any(|row| row["start"].is_object());
    let (names, line) = match has_start {
        true => ("first instruction | min | end | min", "--:|--:|--:|--:"),
        false => ("median | min", "--:|--:"),
    };
    let mut text =
        format!("\n### {title}\n\n| us | {names} | ratio | runs |\n|---|{line}|--:|--:|\n");
    let number =
        |row: &Value, what: &str, which: &str| row[what][which].as_f64().unwrap_or_default();
    for row in rows {
        let median = number(row, "end", "median");
        let _ = write!(text, "| {} | ", row["name"].as_str().unwrap_or_default());
        if has_start {
            let (start, min) = (number(row, "start", "median"), number(row, "start", "min"));
            let _ = write!(text, "{start:.0} | {min:.0} | ");
        }
        let _ = writeln!(
            text,
            "{median:.0} | {:.0} | {:.2} | {} |",
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

/// A suite of one time for each contender.
pub fn summaries_to_json(title: &str, rows: &[(String, Summary)]) -> Value {
    let row = |(name, summary): &(String, Summary)| json!({"name": name, "end": summary.to_json()});
    json!({"title": title, "unit": "us", "rows": rows.iter().map(row).collect::<Vec<_>>()})
}

/// All that was measured as Markdown, for a document: the tables, and what was said of many at once.
pub fn to_markdown(suites: &Map<String, Value>, live: &[Value]) -> String {
    let mut text: String = suites.values().map(table_of).collect();
    if !live.is_empty() {
        text += LIVE_HEAD;
    }
    for one in live {
        let number = |what: &str| one[what].to_string();
        let sizes = one["pss_kib"].as_object().into_iter().flatten();
        let sizes: Vec<String> = sizes.map(|(name, size)| format!("{name} {size}")).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            one["name"].as_str().unwrap_or_default(),
            number("live"),
            sizes.join(", "),
            number("last_to_first"),
            number("stop_all_ms"),
            number("left"),
            number("starts_a_second_of_8"),
        );
    }
    text
}

const LIVE_HEAD: &str = "\n### Many at once\n\n\
    | | live | PSS, KiB a process | last start to first | to stop all, ms | processes left | starts a second, 8 starters |\n\
    |---|--:|---|--:|--:|--:|--:|\n";

/// Puts `text` between the two marks in `document`, in place of what stands there.
pub fn insert(document: &str, text: &str) -> Option<String> {
    const MARKS: [&str; 2] = ["<!-- bench -->\n", "<!-- end of bench -->\n"];
    let (before, rest) = document.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some([before, MARKS[0], text, "\n", MARKS[1], after].concat())
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
