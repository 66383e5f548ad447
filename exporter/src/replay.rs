//! `kanary replay FILE`: a recorded series through the detector, row by row, with the running exporter's settings.
//!
//! In: CSV, also gzip, `timestamp,<feature>,...`; RFC 3339, `YYYY-MM-DD hh:mm:ss` (UTC) or Unix seconds; an empty cell is
//! missing. Out: CSV, one row per row, `timestamp,surprise,score,<feature>...`: the host's state (with one feature that
//! feature's) and each feature's surprise. Cells are empty where there is no verdict: in warm-up, where a value is missing, and
//! in rows whose time does not go forward.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;
use crate::detect;
use crate::detect::engine::{Engine, Tuning};
use crate::detect::episode::{Key, score};
use crate::detect::features;

/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What ends a replay before its end.
#[derive(Debug)]
enum Fault {
    /// The file cannot be read or understood.
    Input(String),
    /// Nobody reads the answer any more, or it cannot be written.
    Output(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Output(error)
    }
}

/// Replays a file to standard output. Exit codes: 0 well, 1 not written, 2 not understood.
///
/// # Errors
/// A setting of the detector that cannot be used.
pub fn main(file: &Path, config: &Config) -> Result<ExitCode, String> {
    let tuning = detect::Settings::from_config(config).map_err(|e| e.to_string())?.tuning();
    let mut out = BufWriter::new(io::stdout().lock());
    let done = open(file).and_then(|input| replay(input, &mut out, tuning)).and_then(|()| Ok(out.flush()?));
    Ok(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Fault::Output(e)) => refuse(format_args!("cannot write: {e}"), 1),
        Err(Fault::Input(why)) => {
            let _ = out.flush();
            refuse(format_args!("{}: {why}", file.display()), 2)
        }
    })
}

fn refuse(why: fmt::Arguments, code: u8) -> ExitCode {
    eprintln!("kanary: {why}");
    ExitCode::from(code)
}

fn open(file: &Path) -> Result<Box<dyn Read>, Fault> {
    let fault = |e: io::Error| Fault::Input(e.to_string());
    let mut input = BufReader::new(File::open(file).map_err(fault)?);
    let zipped = input.fill_buf().map_err(fault)?.starts_with(&GZIP);
    Ok(if zipped { Box::new(flate2::bufread::MultiGzDecoder::new(input)) } else { Box::new(input) })
}

fn replay(input: impl Read, out: &mut impl Write, tuning: Tuning) -> Result<(), Fault> {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut record = csv::StringRecord::new();
    if !next(&mut rows, &mut record)? {
        return Err(Fault::Input("empty: the first line must be `timestamp,<feature>,...`".into()));
    }
    let mut replay = Replay::new(&record, tuning).map_err(|why| Fault::Input(format!("line 1: {why}")))?;
    let mut line = replay.header();
    loop {
        line.push('\n');
        out.write_all(line.as_bytes())?;
        if !next(&mut rows, &mut record)? {
            return Ok(());
        }
        line.clear();
        let at = record.position().map_or(0, csv::Position::line);
        replay.row(&record, &mut line).map_err(|why| Fault::Input(format!("line {at}: {why}")))?;
    }
}

fn next<R: Read>(rows: &mut csv::Reader<R>, record: &mut csv::StringRecord) -> Result<bool, Fault> {
    rows.read_record(record).map_err(|e| {
        let at = e.position().map_or(String::new(), |p| format!("line {}: ", p.line()));
        match e.kind() {
            csv::ErrorKind::Utf8 { .. } => Fault::Input(format!("{at}not UTF-8")),
            csv::ErrorKind::Io(e) => Fault::Input(format!("{at}{e}")),
            _ => Fault::Input(format!("{at}{e}")),
        }
    })
}

/// A detector and the columns it is fed from.
struct Replay {
    engine: Engine,
    names: Vec<String>,
    values: Vec<f64>,
}

impl Replay {
    fn new(header: &csv::StringRecord, tuning: Tuning) -> Result<Self, String> {
        let mut names = header.iter().map(|n| n.trim().trim_start_matches('\u{feff}').to_string());
        match names.next() {
            Some(first) if first == "timestamp" => {}
            first => return Err(format!("the first column must be `timestamp`, not `{}`", first.unwrap_or_default())),
        }
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return Err("no feature beside `timestamp`".into());
        }
        let mut engine = Engine::new(tuning);
        for (i, name) in names.iter().enumerate() {
            if name.is_empty() || names[..i].contains(name) {
                return Err(format!("column {}: `{name}` is empty or there twice", i + 2));
            }
            engine.add(Key { feature: name.as_str().into(), device: "".into() }, features::traits_of(name));
        }
        Ok(Replay { engine, values: vec![f64::NAN; names.len()], names })
    }

    fn header(&self) -> String {
        let mut line = String::from("timestamp,surprise,score");
        for name in &self.names {
            line.push(',');
            if name.contains([',', '"', '\n', '\r']) {
                let _ = write!(line, "\"{}\"", name.replace('"', "\"\""));
            } else {
                line.push_str(name);
            }
        }
        line
    }

    fn row(&mut self, record: &csv::StringRecord, line: &mut String) -> Result<(), String> {
        if record.len() != self.names.len() + 1 {
            return Err(format!("{} cells, {} expected", record.len(), self.names.len() + 1));
        }
        let text = record.get(0).unwrap_or_default();
        let at = seconds(text).ok_or_else(|| format!("`{text}` is no time"))?;
        for (i, cell) in record.iter().skip(1).enumerate() {
            self.values[i] =
                number(cell).ok_or_else(|| format!("column `{}`: `{cell}` is no number", self.names[i]))?;
        }
        line.push_str(text);
        if self.engine.tick(at, at, &self.values) {
            self.verdict(line);
        } else {
            line.extend(std::iter::repeat_n(',', self.names.len() + 2));
        }
        Ok(())
    }

    fn verdict(&self, line: &mut String) {
        let slots = &self.engine.slots;
        // Writing to a String cannot fail.
        let _ = match slots.as_slice() {
            _ if !self.engine.ready => write!(line, ",,"),
            [slot] if !slot.present => write!(line, ",,"),
            [slot] => write!(line, ",{:.4},{}", slot.verdict.surprise, score(slot.held)),
            _ => write!(line, ",{:.4},{}", self.engine.surprise, score(self.engine.surprise)),
        };
        for slot in slots {
            let judged = self.engine.ready && slot.present;
            let _ = if judged { write!(line, ",{:.4}", slot.verdict.surprise) } else { write!(line, ",") };
        }
    }
}

/// A cell's value; NaN when it is empty.
fn number(cell: &str) -> Option<f64> {
    let cell = cell.trim();
    if cell.is_empty() { Some(f64::NAN) } else { cell.parse().ok() }
}

/// Seconds since the epoch.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let from = |t: jiff::Timestamp| t.as_duration().as_secs_f64();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(from(at));
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| from(z.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        match replay(text.as_bytes(), &mut out, Tuning::default()) {
            Ok(()) => Ok(String::from_utf8(out).unwrap()),
            Err(Fault::Input(why)) => Err(why),
            Err(Fault::Output(e)) => panic!("{e}"),
        }
    }

    #[test]
    fn every_form_of_time_is_understood() {
        let expected = Some(1_396_447_740.0);
        for text in ["2014-04-02 14:09:00", "2014-04-02T14:09:00Z", "2014-04-02T16:09:00+02:00", "1396447740"] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert_eq!(seconds("1396447740.25"), Some(1_396_447_740.25));
        for text in ["", "yesterday", "2014-13-02 14:09:00", "NaN", "inf"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn one_row_comes_out_for_each_that_goes_in() {
        let text = "timestamp,a,b\n0,1,2\n60,1,\n60,1,2\n30,1,2\n120,nan,2\n";
        assert_eq!(run(text).unwrap(), "timestamp,surprise,score,a,b\n0,,,,\n60,,,,\n60,,,,\n30,,,,\n120,,,,\n");
    }

    #[test]
    fn a_spike_surprises_and_quiet_does_not() {
        let mut text = String::from("timestamp,load\n");
        for i in 0..1000 {
            let value = if i == 900 { 50.0 } else { f64::from(i * 7919 % 1000) / 1000.0 };
            let _ = writeln!(text, "{},{value}", i * 60);
        }
        let out = run(&text).unwrap();
        let surprise = |i: usize| out.lines().nth(i + 1).unwrap().split(',').nth(1).unwrap().parse::<f64>();
        assert!(surprise(900).unwrap() > 3.0);
        assert!(surprise(500).unwrap() < 2.0);
        assert!(surprise(199).is_err() && surprise(201).is_ok(), "200 rows of warm-up");
    }

    #[test]
    fn faults_name_line_and_text() {
        assert_eq!(run("").unwrap_err(), "empty: the first line must be `timestamp,<feature>,...`");
        assert_eq!(run("time,a\n").unwrap_err(), "line 1: the first column must be `timestamp`, not `time`");
        assert_eq!(run("timestamp\n").unwrap_err(), "line 1: no feature beside `timestamp`");
        assert_eq!(run("timestamp,a,a\n").unwrap_err(), "line 1: column 3: `a` is empty or there twice");
        assert_eq!(run("timestamp,a\n1,2\nx,2\n").unwrap_err(), "line 3: `x` is no time");
        assert_eq!(run("timestamp,a\n1,two\n").unwrap_err(), "line 2: column `a`: `two` is no number");
        assert_eq!(run("timestamp,a\n1,2,3\n").unwrap_err(), "line 2: 3 cells, 2 expected");
    }

    #[test]
    fn a_file_that_is_missing_or_no_gzip_is_a_fault_not_a_panic() {
        assert!(matches!(open(Path::new("/nonexistent/a.csv")), Err(Fault::Input(_))));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv.gz");
        std::fs::write(&file, [0x1f, 0x8b, 1, 2, 3]).unwrap();
        assert!(matches!(
            open(&file).and_then(|i| replay(i, &mut Vec::new(), Tuning::default())),
            Err(Fault::Input(_))
        ));
    }
}
