//! Evaluates arithmetic with a recursive-descent parser, and says where an expression is wrong.

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

#[derive(Debug)]
enum Problem {
    Unexpected(char, usize),
    Ended,
    DividedByZero,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Problem::Unexpected(found, at) => write!(out, "unexpected '{found}' at {at}"),
            Problem::Ended => write!(out, "ended too early"),
            Problem::DividedByZero => write!(out, "divided by zero"),
        }
    }
}

struct Parser<'a> {
    rest: Peekable<CharIndices<'a>>,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        while self.rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        self.rest.peek().map(|&(_, c)| c)
    }

    fn sum(&mut self) -> Result<f64, Problem> {
        let mut value = self.product()?;
        while let Some(sign @ ('+' | '-')) = self.peek() {
            self.rest.next();
            let other = self.product()?;
            value += if sign == '+' { other } else { -other };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, Problem> {
        let mut value = self.atom()?;
        while let Some(sign @ ('*' | '/')) = self.peek() {
            self.rest.next();
            match (sign, self.atom()?) {
                ('/', 0.0) => return Err(Problem::DividedByZero),
                ('/', other) => value /= other,
                (_, other) => value *= other,
            }
        }
        Ok(value)
    }

    fn atom(&mut self) -> Result<f64, Problem> {
        match self.peek() {
            Some('(') => {
                self.rest.next();
                let value = self.sum()?;
                match self.peek() {
                    Some(')') => self.rest.next(),
                    _ => return Err(self.problem()),
                };
                Ok(value)
            }
            Some('-') => {
                self.rest.next();
                Ok(-self.atom()?)
            }
            Some(c) if c.is_ascii_digit() => {
                let mut digits = String::new();
                while let Some((_, c)) = self.rest.next_if(|(_, c)| c.is_ascii_digit() || *c == '.') {
                    digits.push(c);
                }
                digits.parse().map_err(|_| self.problem())
            }
            _ => Err(self.problem()),
        }
    }

    fn problem(&mut self) -> Problem {
        match self.rest.peek() {
            Some(&(at, found)) => Problem::Unexpected(found, at),
            None => Problem::Ended,
        }
    }
}

fn evaluate(text: &str) -> Result<f64, Problem> {
    let mut parser = Parser { rest: text.char_indices().peekable() };
    let value = parser.sum()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.problem()),
    }
}

fn main() {
    for text in ["1 + 2 * 3", "(1 + 2) * 3", "-4 / (2.5 - 0.5)", "7 / (3 - 3)", "2 * (3 +", "6 × 7"] {
        match evaluate(text) {
            Ok(value) => println!("{text} = {value}"),
            Err(problem) => println!("{text}: {problem}"),
        }
    }
}
