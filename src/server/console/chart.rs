//! Charts as SVG, drawn here: no script, nothing from elsewhere. All looks are in the style sheet.

use maud::{Markup, html};

/// Of a chart with bars, and of one with lines, which is as wide as the page.
const WIDTH: usize = 480;
const SPAN: usize = 1040;
const ROW: usize = 24;
const LABEL: usize = 200;
/// A longer name would run into its bar.
const LABEL_CHARS: usize = 30;
const HEIGHT: usize = 120;
/// Above the highest point, for what it stands for, and below the axis for the caption.
const MARGIN: usize = 20;

/// A bar for each, largest first as given.
pub fn bars(title: &str, look: &str, rows: &[(String, u64)]) -> Markup {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let room = (WIDTH - LABEL - 70) as u64;
    let height = rows.len() * ROW + 4;
    html! {
        @if rows.is_empty() { p .faint { "None so far." } } @else {
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(title) {
                @for (index, (name, count)) in rows.iter().enumerate() {
                    @let y = index * ROW;
                    @let length = (count.saturating_mul(room) / most).max(1);
                    text x="0" y=(y + 16) { (cut(name)) title { (name) } }
                    rect class=(format!("bar {look}")) x=(LABEL) y=(y + 4) width=(length) height=(ROW - 8) rx="2" {}
                    text .value x=(LABEL as u64 + length + 6) y=(y + 16) { (count) }
                }
            }
        }
    }
}

/// Lines over the same span of time, each with its look; the newest value is at the right.
pub fn lines(title: &str, caption: &str, series: &[(&str, Vec<f64>)]) -> Markup {
    let most = series.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
    html! {
        svg viewBox=(format!("0 0 {SPAN} {}", MARGIN + HEIGHT + MARGIN)) role="img" aria-label=(title) {
            line .axis x1="0" y1=(MARGIN + HEIGHT) x2=(SPAN) y2=(MARGIN + HEIGHT) {}
            text .value x="0" y=(MARGIN - 6) { (format!("{most:.1}")) }
            text .value x="0" y=(MARGIN + HEIGHT + 16) { (caption) }
            @for (look, values) in series {
                polyline class=(format!("line {look}")) points=(points(values, most)) {}
            }
        }
    }
}

fn points(values: &[f64], most: f64) -> String {
    let step = SPAN as f64 / (values.len().max(2) - 1) as f64;
    let point = |(at, value): (usize, &f64)| {
        let y = MARGIN as f64 + HEIGHT as f64 * (1.0 - value / most);
        format!("{:.1},{y:.1}", at as f64 * step)
    };
    values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(LABEL_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
