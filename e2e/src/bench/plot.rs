//! Bar charts as SVG, written by hand: one shape needs no plotting library. Each brings its own ground
//! and both colour schemes, so that it can be read wherever a page embeds it. It must not draw what is
//! no number: such a bar is said to be not measured.

use std::fmt::Write as _;

use super::spread::Spread;

mod scale;

use scale::Scale;

const WIDTH: f64 = 820.0;
const MARGIN: f64 = 20.0;
const ROW: f64 = 26.0;
const BAR: f64 = 14.0;
/// Of the label of a bar, on average, in the largest of the usual fonts.
const LETTER: f64 = 7.1;
/// What stands right of the longest whisker: the figure.
const FIGURE: f64 = 64.0;

/// A chart of horizontal bars.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows, in a line.
    pub title: String,
    /// How to read it, in a line below.
    pub subtitle: String,
    /// A value that a line marks: the one that all are compared to.
    pub mark: Option<f64>,
    /// Follows each figure: `×`, ` µs`.
    pub unit: &'static str,
    /// How a figure is written.
    pub figure: fn(f64) -> String,
    /// From top to bottom.
    pub groups: Vec<Group>,
}

/// Bars that belong together.
#[derive(Clone, Debug)]
pub struct Group {
    /// Said above them.
    pub heading: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar: as long as the median, with a whisker from the tenth to the ninetieth percentile.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Said left of it.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
    /// Its length and whisker.
    pub spread: Spread,
}

/// What a colour stands for. The labels say it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// What others are compared to.
    Floor,
    /// Vestibule.
    Ours,
    /// What a user could pick instead.
    Other,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "ours",
            Self::Other => "other",
        }
    }
}

const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.heading { font-weight: 600 }
.muted { font-size: 12px; fill: #59636e }
.figure { font-variant-numeric: tabular-nums }
.figure, .heading { paint-order: stroke; stroke: #ffffff; stroke-width: 4px }
.ground { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #e6eaef }
.mark { stroke: #59636e; stroke-dasharray: 3 3 }
.whisker { stroke: #1f2328; stroke-width: 1.5; fill: none }
.floor { fill: #afb8c1 }
.ours { fill: #54a3ff }
.other { fill: #e3a25f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .muted { fill: #9198a1 }
  .figure, .heading { stroke: #0d1117 }
  .ground { fill: #0d1117; stroke: #3d444d }
  .grid { stroke: #262c36 }
  .mark { stroke: #9198a1 }
  .whisker { stroke: #e6edf3 }
  .floor { fill: #59636e }
  .ours { fill: #1f6feb }
  .other { fill: #9a5b1e }
}
";

/// The chart as a file of its own.
#[must_use]
pub fn svg(chart: &Chart) -> String {
    let layout = Layout::of(chart);
    let mut text = String::new();
    open(&mut text, chart, &layout);
    axis(&mut text, chart, &layout);
    let mut y = layout.top;
    for group in &chart.groups {
        let heading = escaped(&group.heading);
        line(
            &mut text,
            format_args!(r#"<text class="heading" x="{MARGIN}" y="{}">{heading}</text>"#, y + 17.0),
        );
        y += ROW;
        for bar in &group.bars {
            row(&mut text, chart, &layout, bar, y);
            y += ROW;
        }
        y += ROW / 3.0;
    }
    text.push_str("</svg>\n");
    text
}

/// Where things are.
struct Layout {
    scale: Scale,
    top: f64,
    bottom: f64,
    height: f64,
}

impl Layout {
    fn of(chart: &Chart) -> Self {
        let bars = || chart.groups.iter().flat_map(|group| &group.bars);
        let longest = bars().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let spreads = bars().map(|bar| &bar.spread).filter(|spread| spread.is_finite());
        let values = spreads.flat_map(|spread| [spread.median, spread.p10, spread.p90]);
        let left = (MARGIN + 12.0 + LETTER * small(longest) + 10.0).min(WIDTH / 2.0);
        let top = 74.0;
        let rows = small(bars().count() + chart.groups.len());
        let bottom = top + rows * ROW + small(chart.groups.len()) * ROW / 3.0;
        Self {
            scale: Scale::over(values.chain(chart.mark), left, WIDTH - MARGIN - FIGURE),
            top,
            bottom,
            height: bottom + 34.0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a chart has few bars with short labels")]
fn small(number: usize) -> f64 {
    number as f64
}

fn open(text: &mut String, chart: &Chart, layout: &Layout) {
    let (title, subtitle, height) =
        (escaped(&chart.title), escaped(&chart.subtitle), layout.height);
    line(
        text,
        format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" aria-labelledby="title desc">"#
        ),
    );
    line(text, format_args!(r#"<title id="title">{title}</title>"#));
    line(text, format_args!(r#"<desc id="desc">{subtitle} {}</desc>"#, escaped(&in_words(chart))));
    line(text, format_args!("<style>\n{STYLE}</style>"));
    line(
        text,
        format_args!(
            r#"<rect class="ground" x="0.5" y="0.5" width="{}" height="{:.0}" rx="8"/>"#,
            WIDTH - 1.0,
            height - 1.0
        ),
    );
    line(text, format_args!(r#"<text class="title" x="{MARGIN}" y="32">{title}</text>"#));
    line(text, format_args!(r#"<text class="muted" x="{MARGIN}" y="54">{subtitle}</text>"#));
}

/// The same figures for who cannot see them.
fn in_words(chart: &Chart) -> String {
    let mut said = Vec::new();
    for group in &chart.groups {
        let bars: Vec<String> =
            group.bars.iter().map(|bar| format!("{} {}", bar.label, figure(chart, bar))).collect();
        said.push(format!("{}: {}.", group.heading, bars.join(", ")));
    }
    said.join(" ")
}

fn figure(chart: &Chart, bar: &Bar) -> String {
    if bar.spread.is_finite() {
        format!("{}{}", (chart.figure)(bar.spread.median), chart.unit)
    } else {
        "not measured".to_owned()
    }
}

fn axis(text: &mut String, chart: &Chart, layout: &Layout) {
    let (top, bottom) = (layout.top, layout.bottom);
    for tick in layout.scale.ticks() {
        let x = layout.scale.place(tick);
        line(text, format_args!(r#"<path class="grid" d="M{x:.1} {top:.1}V{bottom:.1}"/>"#));
        line(
            text,
            format_args!(
                r#"<text class="muted figure" text-anchor="middle" x="{x:.1}" y="{:.1}">{}{}</text>"#,
                bottom + 18.0,
                layout.scale.label(tick),
                escaped(chart.unit),
            ),
        );
    }
    if let Some(mark) = chart.mark {
        let x = layout.scale.place(mark);
        line(text, format_args!(r#"<path class="mark" d="M{x:.1} {top:.1}V{bottom:.1}"/>"#));
    }
}

fn row(text: &mut String, chart: &Chart, layout: &Layout, bar: &Bar, y: f64) {
    let (base, middle) = (y + 17.0, y + ROW / 2.0);
    let label = escaped(&bar.label);
    line(text, format_args!(r#"<text x="{}" y="{base:.1}">{label}</text>"#, MARGIN + 12.0));
    let mut end = layout.scale.place(0.0);
    if bar.spread.is_finite() {
        let zero = end;
        let [low, at, high] =
            [bar.spread.p10, bar.spread.median, bar.spread.p90].map(|one| layout.scale.place(one));
        line(
            text,
            format_args!(
                r#"<rect class="{}" x="{:.1}" y="{:.1}" width="{:.1}" height="{BAR}" rx="2"/>"#,
                bar.tone.class(),
                zero.min(at),
                middle - BAR / 2.0,
                (at - zero).abs(),
            ),
        );
        line(
            text,
            format_args!(
                r#"<path class="whisker" d="M{low:.1} {:.1}v8M{low:.1} {middle:.1}H{high:.1}M{high:.1} {:.1}v8"/>"#,
                middle - 4.0,
                middle - 4.0,
            ),
        );
        end = zero.max(high).max(at);
    }
    let said = escaped(&figure(chart, bar));
    line(
        text,
        format_args!(r#"<text class="figure" x="{:.1}" y="{base:.1}">{said}</text>"#, end + 8.0),
    );
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML has no way to write the others.
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
