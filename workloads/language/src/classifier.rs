//! Naive Bayes over groups of letters.

use std::collections::BTreeMap;
use std::fmt;

/// How a model is made: what the model's owner offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Letters in a group.
    pub letters: usize,
    /// Counts that every group is given in advance.
    pub smoothing: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            letters: 3,
            smoothing: 0.5,
        }
    }
}

/// A line that does not read as it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(pub String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl Recipe {
    /// Reads `letters=3` and `smoothing=0.5`, each on its line.
    ///
    /// # Errors
    /// [`ParseError`] naming the line.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut recipe = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let wrong = || {
                ParseError(format!(
                    "recipe: expected letters=1 to 5 or smoothing above 0, found {line:?}"
                ))
            };
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            match name {
                "letters" => {
                    recipe.letters = value.parse().map_err(|_| wrong())?;
                    if !(1..=5).contains(&recipe.letters) {
                        return Err(wrong());
                    }
                }
                "smoothing" => {
                    recipe.smoothing = value.parse().map_err(|_| wrong())?;
                    if !(recipe.smoothing > 0.0 && recipe.smoothing.is_finite()) {
                        return Err(wrong());
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(recipe)
    }
}

/// What was learnt of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Class {
    records: u64,
    groups: BTreeMap<String, u64>,
    total: u64,
}

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    recipe: Recipe,
    classes: BTreeMap<String, Class>,
}

impl Classifier {
    /// A model that has learnt nothing.
    pub const fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            classes: BTreeMap::new(),
        }
    }

    /// Learns from one record.
    pub fn learn(&mut self, class: &str, text: &str) {
        let groups = groups(text, self.recipe.letters);
        let class = self.classes.entry(class.to_owned()).or_default();
        class.records += 1;
        for group in groups {
            *class.groups.entry(group).or_default() += 1;
            class.total += 1;
        }
    }

    /// The class that a text most likely belongs to; none where nothing was learnt.
    pub fn classify(&self, text: &str) -> Option<&str> {
        let groups = groups(text, self.recipe.letters);
        let records: u64 = self.classes.values().map(|class| class.records).sum();
        let known = self
            .classes
            .values()
            .map(|class| class.groups.len())
            .sum::<usize>() as f64
            + 1.0;
        let score = |class: &Class| {
            let prior = (class.records as f64 / records.max(1) as f64).ln();
            let all = class.total as f64 + self.recipe.smoothing * known;
            groups.iter().fold(prior, |sum, group| {
                let count = class.groups.get(group).copied().unwrap_or(0) as f64;
                sum + ((count + self.recipe.smoothing) / all).ln()
            })
        };
        let scored = self
            .classes
            .iter()
            .map(|(name, class)| (name.as_str(), score(class)));
        scored
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .map(|(name, _)| name)
    }

    /// The model as text: a line for each class and each of its groups.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "letters={}\nsmoothing={}\n",
            self.recipe.letters, self.recipe.smoothing
        );
        for (name, class) in &self.classes {
            out.push_str(&format!("class\t{name}\t{}\n", class.records));
            for (group, count) in &class.groups {
                out.push_str(&format!("{group}\t{count}\n"));
            }
        }
        out
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`ParseError`] naming the line.
    pub fn from_text(text: &str) -> Result<Self, ParseError> {
        let mut recipe = String::new();
        let mut classes: BTreeMap<String, Class> = BTreeMap::new();
        let mut current: Option<String> = None;
        for line in text.lines() {
            let wrong = || {
                ParseError(format!(
                    "model: expected a class or a group with its count, found {line:?}"
                ))
            };
            let parts: Vec<&str> = line.split('\t').collect();
            match (parts.as_slice(), &current) {
                ([_], None) => recipe.push_str(&format!("{line}\n")),
                (["class", name, records], _) => {
                    let records = records.parse().map_err(|_| wrong())?;
                    classes.insert(
                        (*name).to_owned(),
                        Class {
                            records,
                            ..Class::default()
                        },
                    );
                    current = Some((*name).to_owned());
                }
                ([group, count], Some(name)) => {
                    let count: u64 = count.parse().map_err(|_| wrong())?;
                    let class = classes.get_mut(name).ok_or_else(wrong)?;
                    class.groups.insert((*group).to_owned(), count);
                    class.total = class.total.checked_add(count).ok_or_else(wrong)?;
                }
                _ => return Err(wrong()),
            }
        }
        Ok(Self {
            recipe: Recipe::parse(&recipe)?,
            classes,
        })
    }
}

/// Every run of `letters` letters, with a blank before and after the text.
fn groups(text: &str, letters: usize) -> Vec<String> {
    let text: Vec<char> = format!(" {} ", text.to_lowercase())
        .chars()
        .filter(|c| *c != '\t')
        .collect();
    text.windows(letters)
        .map(|group| group.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_survives_its_text() {
        let mut model = Classifier::new(Recipe {
            letters: 2,
            smoothing: 0.25,
        });
        model.learn("en", "twenty-one");
        model.learn("de", "fünf");
        let again = Classifier::from_text(&model.to_text()).unwrap();
        assert_eq!(again, model);
        assert_eq!(again.classify("zwanzig und fünf"), Some("de"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "letters=0",
            "letters=9",
            "smoothing=0",
            "smoothing=-1",
            "smoothing=nan",
            "x=1",
            "y",
        ] {
            assert!(Recipe::parse(text).is_err(), "{text}");
        }
        for text in [
            "class\ten\tx\n",
            "class\ten\t1\nab\tx\n",
            "ab\t1\n",
            "class\ten\t1\na\tb\tc\td\n",
        ] {
            assert!(Classifier::from_text(text).is_err(), "{text}");
        }
        assert_eq!(Classifier::new(Recipe::default()).classify("x"), None);
    }
}
