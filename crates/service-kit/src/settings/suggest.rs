//! Suggestions for misspelled names.

/// Formats `; did you mean X?` for the nearest known name, or nothing if none is near.
///
/// Near means that at most a third of the letters differ.
pub(super) fn did_you_mean(name: &str, known: &[impl AsRef<str>]) -> String {
    let candidates = known.iter().map(AsRef::as_ref);
    let best = candidates.map(|k| (distance(name, k), k)).min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, k)) if distance * 3 <= name.len() => format!("; did you mean {k}?"),
        _ => String::new(),
    }
}

/// Counts the insertions, deletions and replacements between two texts (Levenshtein), keeping one
/// row of the table.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_edits() {
        for (from, to, edits) in [("", "abc", 3), ("grace", "grace", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), edits, "{from} → {to}");
        }
    }

    #[test]
    fn a_far_name_is_not_suggested() {
        assert_eq!(did_you_mean("colour", &["grace", "lease"]), "");
        assert_eq!(did_you_mean("grase", &["grace", "lease"]), "; did you mean grace?");
    }
}
