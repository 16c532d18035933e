//! Medians, and what else is said of a list of numbers.

use serde_json::{Value, json};

/// A summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The number of numbers.
    pub count: usize,
    /// The least.
    pub least: f64,
    /// The lower quartile.
    pub quarter: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub three_quarters: f64,
}

impl Summary {
    /// Of `numbers`; zeros of none.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = (sorted.len().saturating_sub(1)) as f64 * part;
            sorted.get(index.round() as usize).copied().unwrap_or_default()
        };
        Summary {
            count: sorted.len(),
            least: at(0.0),
            quarter: at(0.25),
            median: at(0.5),
            three_quarters: at(0.75),
        }
    }

    /// For the file of results.
    pub fn to_json(self) -> Value {
        let round = |number: f64| (number * 10.0).round() / 10.0;
        json!({
            "runs": self.count, "min": round(self.least), "q1": round(self.quarter),
            "median": round(self.median), "q3": round(self.three_quarters),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few() {
        let summary = Summary::of([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((summary.least, summary.median, summary.three_quarters), (1.0, 3.0, 4.0));
        assert_eq!(Summary::of([]).median, 0.0);
    }
}
