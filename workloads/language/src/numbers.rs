//! The dataset: how four languages write the numbers from 0 to 499. Facts of language, made by rule, so
//! nobody's licence binds them.

const ENGLISH: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const ENGLISH_TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const GERMAN: [&str; 20] = [
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const GERMAN_TENS: [&str; 8] = [
    "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig",
];
const SPANISH: [&str; 30] = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
];
const SPANISH_TENS: [&str; 7] = [
    "treinta",
    "cuarenta",
    "cincuenta",
    "sesenta",
    "setenta",
    "ochenta",
    "noventa",
];
const SPANISH_HUNDREDS: [&str; 3] = ["doscientos", "trescientos", "cuatrocientos"];
const ITALIAN: [&str; 20] = [
    "zero",
    "uno",
    "due",
    "tre",
    "quattro",
    "cinque",
    "sei",
    "sette",
    "otto",
    "nove",
    "dieci",
    "undici",
    "dodici",
    "tredici",
    "quattordici",
    "quindici",
    "sedici",
    "diciassette",
    "diciotto",
    "diciannove",
];
const ITALIAN_TENS: [&str; 8] = [
    "venti",
    "trenta",
    "quaranta",
    "cinquanta",
    "sessanta",
    "settanta",
    "ottanta",
    "novanta",
];

/// `one hundred and twenty-one`
pub fn english(n: usize) -> String {
    match (n / 100, n % 100) {
        (0, n @ 0..20) => ENGLISH[n].to_owned(),
        (0, n) if n % 10 == 0 => ENGLISH_TENS[n / 10 - 2].to_owned(),
        (0, n) => format!("{}-{}", ENGLISH_TENS[n / 10 - 2], ENGLISH[n % 10]),
        (hundreds, 0) => format!("{} hundred", ENGLISH[hundreds]),
        (hundreds, rest) => format!("{} hundred and {}", ENGLISH[hundreds], english(rest)),
    }
}

/// `hunderteinundzwanzig`
pub fn german(n: usize) -> String {
    let short = |n: usize| if n == 1 { "ein" } else { GERMAN[n] };
    match (n / 100, n % 100) {
        (0, n @ 0..20) => GERMAN[n].to_owned(),
        (0, n) if n % 10 == 0 => GERMAN_TENS[n / 10 - 2].to_owned(),
        (0, n) => format!("{}und{}", short(n % 10), GERMAN_TENS[n / 10 - 2]),
        (hundreds, 0) => format!("{}hundert", short(hundreds)),
        (hundreds, rest) => format!("{}hundert{}", short(hundreds), german(rest)),
    }
}

/// `ciento veintiuno`
pub fn spanish(n: usize) -> String {
    match (n / 100, n % 100) {
        (0, n @ 0..30) => SPANISH[n].to_owned(),
        (0, n) if n % 10 == 0 => SPANISH_TENS[n / 10 - 3].to_owned(),
        (0, n) => format!("{} y {}", SPANISH_TENS[n / 10 - 3], SPANISH[n % 10]),
        (1, 0) => "cien".to_owned(),
        (1, rest) => format!("ciento {}", spanish(rest)),
        (hundreds, 0) => SPANISH_HUNDREDS[hundreds - 2].to_owned(),
        (hundreds, rest) => format!("{} {}", SPANISH_HUNDREDS[hundreds - 2], spanish(rest)),
    }
}

/// `centoventuno`
pub fn italian(n: usize) -> String {
    match (n / 100, n % 100) {
        (0, n @ 0..20) => ITALIAN[n].to_owned(),
        (0, n) => {
            let tens = ITALIAN_TENS[n / 10 - 2];
            match n % 10 {
                0 => tens.to_owned(),
                // Before a vowel the tens lose theirs.
                one @ (1 | 8) => format!("{}{}", &tens[..tens.len() - 1], ITALIAN[one]),
                3 => format!("{tens}tré"),
                one => format!("{tens}{}", ITALIAN[one]),
            }
        }
        (1, 0) => "cento".to_owned(),
        (1, rest) => format!("cento{}", accented(rest)),
        (hundreds, 0) => format!("{}cento", ITALIAN[hundreds]),
        (hundreds, rest) => format!("{}cento{}", ITALIAN[hundreds], accented(rest)),
    }
}

/// At the end of a longer word, three carries its accent.
fn accented(n: usize) -> String {
    if n == 3 {
        "tré".to_owned()
    } else {
        italian(n)
    }
}

/// Every number in every language, as comma-separated values.
pub fn dataset() -> String {
    let mut out = String::from("language,words\n");
    for n in 0..500 {
        for (language, words) in [
            ("en", english(n)),
            ("de", german(n)),
            ("es", spanish(n)),
            ("it", italian(n)),
        ] {
            out.push_str(&format!("{language},{words}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        for (n, expected) in [
            (0, ["zero", "null", "cero", "zero"]),
            (1, ["one", "eins", "uno", "uno"]),
            (16, ["sixteen", "sechzehn", "dieciséis", "sedici"]),
            (21, ["twenty-one", "einundzwanzig", "veintiuno", "ventuno"]),
            (
                33,
                [
                    "thirty-three",
                    "dreiunddreißig",
                    "treinta y tres",
                    "trentatré",
                ],
            ),
            (
                88,
                [
                    "eighty-eight",
                    "achtundachtzig",
                    "ochenta y ocho",
                    "ottantotto",
                ],
            ),
            (100, ["one hundred", "einhundert", "cien", "cento"]),
            (
                103,
                [
                    "one hundred and three",
                    "einhundertdrei",
                    "ciento tres",
                    "centotré",
                ],
            ),
            (
                401,
                [
                    "four hundred and one",
                    "vierhunderteins",
                    "cuatrocientos uno",
                    "quattrocentouno",
                ],
            ),
        ] {
            assert_eq!([english(n), german(n), spanish(n), italian(n)], expected);
        }
    }
}
