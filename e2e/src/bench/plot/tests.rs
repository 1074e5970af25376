//! With invented figures, which are no one's results.

use super::*;
use crate::bench::table;

fn bar(label: &str, median: f64, p10: f64, p90: f64) -> Bar {
    let tone = if label == "hyper" { Tone::Floor } else { Tone::Ours };
    Bar { label: label.to_owned(), tone, spread: Spread { median, p10, p90 } }
}

fn group(heading: &str, bars: Vec<Bar>) -> Group {
    Group { heading: heading.to_owned(), bars }
}

fn chart(groups: Vec<Group>) -> Chart {
    Chart {
        title: "CPU time per request".to_owned(),
        subtitle: "Times bare hyper in the same round. Invented.".to_owned(),
        mark: Some(1.0),
        unit: "×",
        figure: |value| format!("{value:.2}"),
        groups,
    }
}

#[test]
fn the_same_figures_give_the_same_chart() {
    let chart = chart(vec![
        group("Floor", vec![bar("hyper", 1.0, 1.0, 1.0)]),
        group(
            "Vestibule",
            vec![bar("warm", 1.5, 1.4, 1.75), bar("cold, from Redis", 4.0, 3.5, 4.25)],
        ),
        group("Others", vec![Bar { tone: Tone::Other, ..bar("other", 9.0, 8.0, 10.0) }]),
    ]);
    insta::assert_snapshot!(svg(&chart));
}

#[test]
fn what_a_label_holds_stays_text() {
    let mut chart = chart(vec![group(
        "\"a\" & 'b'",
        vec![bar("</text><script>alert(1)</script>\u{7}", 1.0, 1.0, 1.0)],
    )]);
    chart.title = "<b>".to_owned();
    let svg = svg(&chart);
    assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
    assert!(svg.contains("&quot;a&quot; &amp; &#39;b&#39;"), "{svg}");
    assert!(svg.contains("&lt;script&gt;") && !svg.contains('\u{7}'), "{svg}");
}

#[test]
fn what_is_no_number_is_never_drawn() {
    let nan = f64::NAN;
    let chart = chart(vec![group(
        "Vestibule",
        vec![bar("warm", nan, nan, nan), bar("cold", 2.0, 1.0, f64::INFINITY)],
    )]);
    let svg = svg(&chart);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert_eq!(svg.matches(">not measured</text>").count(), 2, "{svg}");
}

#[test]
fn a_chart_without_bars_is_still_one() {
    let svg = svg(&chart(Vec::new()));
    assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
}

#[test]
fn a_bar_below_zero_goes_to_the_left() {
    let mut chart = chart(vec![group(
        "Vestibule",
        vec![bar("less", -10.0, -20.0, 5.0), bar("more", 80.0, 60.0, 100.0)],
    )]);
    chart.mark = None;
    chart.figure = table::figure;
    let svg = svg(&chart);
    assert!(!svg.contains("width=\"-"), "{svg}");
    assert!(svg.contains(">-10.0×</text>"), "{svg}");
}

#[test]
fn who_cannot_see_it_reads_the_figures() {
    let svg = svg(&chart(vec![group("Floor", vec![bar("hyper", 1.0, 1.0, 1.0)])]));
    assert!(svg.contains(r#"role="img" aria-labelledby="title desc""#), "{svg}");
    assert!(svg.contains("Floor: hyper 1.00×.</desc>"), "{svg}");
}
