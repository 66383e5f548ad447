//! Which metrics an expression reads, and whether the catalogue knows them.

use kanary::metric::{Family, Kind, all};

/// Names that Prometheus itself makes.
const OF_PROMETHEUS: &[&str] = &["up", "ALERTS", "scrape_samples_post_metric_relabeling", "scrape_duration_seconds"];
const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan"];
const LABEL_LISTS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The metric names in a PromQL expression.
pub fn names(expression: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => 2 + rest[1..].find(first).unwrap_or(rest.len() - 2),
            '{' => after(rest, '}'),
            '[' => after(rest, ']'),
            '0'..='9' => rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len()),
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
                let (word, tail) = rest.split_at(end);
                end + of_word(word, tail, &mut names)
            }
            _ => first.len_utf8(),
        };
        rest = &rest[length..];
    }
    names
}

/// Notes `word` if it is a metric; the length of what belongs to it in `tail`.
fn of_word(word: &str, tail: &str, names: &mut Vec<String>) -> usize {
    let next = tail.trim_start();
    let list = next.starts_with('(');
    if LABEL_LISTS.contains(&word) {
        return if list { after(tail, ')') } else { 0 };
    }
    let aggregates = next.starts_with("by ") || next.starts_with("without ");
    if !list && !aggregates && !WORDS.contains(&word.to_lowercase().as_str()) {
        names.push(word.into());
    }
    0
}

fn after(text: &str, end: char) -> usize {
    text.find(end).map_or(text.len(), |at| at + 1)
}

/// Whether kanary, Prometheus or one of these recording rules makes a series of this name.
pub fn is_known(name: &str, recorded: &[String]) -> bool {
    OF_PROMETHEUS.contains(&name) || recorded.iter().any(|r| r == name) || all().any(|family| makes(family, name))
}

fn makes(family: &Family, name: &str) -> bool {
    if let Some((before, after)) = family.name.split_once('*') {
        return name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after);
    }
    let suffix = name.strip_prefix(family.name);
    suffix == Some("") || (family.kind == Kind::Histogram && matches!(suffix, Some("_bucket" | "_sum" | "_count")))
}

#[test]
fn names_are_found_and_nothing_else() {
    let expression = r#"sum by (job, le) (rate(a_total{x="b_total"}[5m] offset 1d)) / on (job) group_left c:d > bool 1e3
        and histogram_quantile(0.99, e_bucket) or label_replace(up, "a", "$1", "b", "f(.*)")"#;
    assert_eq!(names(expression), ["a_total", "c:d", "e_bucket", "up"]);
}

#[test]
fn only_the_catalogue_is_known() {
    assert!(is_known("node_load1", &[]) && is_known("node_memory_MemFree_bytes", &[]) && is_known("up", &[]));
    assert!(is_known("kanary_syscall_duration_seconds_bucket", &[]) && !is_known("node_load1_bucket", &[]));
    assert!(!is_known("node_loads", &[]) && is_known("job:x", &["job:x".into()]));
}
