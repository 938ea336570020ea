//! Reads the Prometheus text format, as far as tests need it.

/// One scrape.
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of all series of `name` (without the prefix `portcullis_`) whose labels include
    /// `labels`, each as `key="value"`. `None` when there is no such series.
    pub fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let series = line.strip_prefix("portcullis_")?.strip_prefix(name)?;
            let (series_labels, value) = series.rsplit_once(' ')?;
            let is_this_name = series_labels.is_empty() || series_labels.starts_with('{');
            let has_labels = labels.iter().all(|label| series_labels.contains(label));
            (is_this_name && has_labels).then(|| value.parse::<f64>().ok())?
        });
        values.reduce(|sum, value| sum + value)
    }
}

#[test]
fn series_are_summed_over_the_labels_left_open() {
    let metrics =
        Metrics("portcullis_x{a=\"1\",b=\"2\"} 3\nportcullis_x{a=\"1\",b=\"3\"} 4\nportcullis_xy 9\n".into());

    assert_eq!(metrics.value("x", &["a=\"1\""]), Some(7.0));
    assert_eq!(metrics.value("x", &["b=\"2\""]), Some(3.0));
    assert_eq!(metrics.value("x", &["b=\"9\""]), None);
}
