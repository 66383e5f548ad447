//! Devices whose attributes are made by drivers that may take long or hang: hwmon, cpufreq, thermal zones, batteries.
//!
//! All attributes of one device are one question for a watched thread, so that a device that hangs costs itself. It is
//! left out and not asked again before it answered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::attribute::{Attribute, Value};
use super::watched::{Patience, Question, Watched};
use crate::snapshot::Sink;

/// A device on a slow bus takes tenths of a second; beyond that no scrape can wait.
const PATIENCE: Patience = Patience { round: Duration::from_millis(500), question: Duration::from_secs(1) };
/// Most faults of one device that are told.
const MAX_FAULTS: usize = 8;

/// Devices of one class, each with what the collector knows about it.
pub struct Devices<T> {
    watched: Watched<Attributes>,
    asked: Vec<Attributes>,
    about: Vec<T>,
}

impl<T> Default for Devices<T> {
    fn default() -> Self {
        Devices { watched: Watched::default(), asked: Vec::new(), about: Vec::new() }
    }
}

/// A device that is to be read.
pub struct Device<T> {
    pub about: T,
    /// Tells devices apart, whatever is known about them.
    pub path: PathBuf,
    pub attributes: Vec<Attribute>,
}

impl<T> Devices<T> {
    /// Forgets those there were.
    pub fn replace(&mut self, devices: impl IntoIterator<Item = Device<T>>) {
        (self.about, self.asked) = devices
            .into_iter()
            .map(|device| {
                let attributes = Arc::new(Mutex::new(device.attributes));
                (device.about, Attributes { path: device.path.into(), attributes })
            })
            .unzip();
    }

    /// Calls `put` for each device that answered, with the values of its attributes in their order. Faults are noted.
    pub fn read(&self, out: &mut Sink, mut put: impl FnMut(&T, &[Option<Value>], &mut Sink)) {
        if self.asked.is_empty() {
            return;
        }
        let answers = self.watched.ask(&self.asked, PATIENCE);
        for ((about, asked), answer) in self.about.iter().zip(&self.asked).zip(answers) {
            match answer {
                Some(Answer { values, faults }) => {
                    put(about, &values, out);
                    faults.into_iter().for_each(|fault| out.fault(fault));
                }
                None => out.fault(format!("{}: no answer in time", asked.path.display())),
            }
        }
    }
}

/// The question for one device's attributes.
#[derive(Clone)]
struct Attributes {
    path: Arc<Path>,
    attributes: Arc<Mutex<Vec<Attribute>>>,
}

struct Answer {
    values: Vec<Option<Value>>,
    faults: Vec<String>,
}

impl Question for Attributes {
    type Answer = Answer;
    fn answer(&self) -> Answer {
        let mut attributes = self.attributes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults = Vec::new();
        let read = |attribute: &mut Attribute| {
            attribute.read().unwrap_or_else(|fault| {
                if faults.len() < MAX_FAULTS {
                    faults.push(fault);
                }
                None
            })
        };
        let values = attributes.iter_mut().map(read).collect();
        Answer { values, faults }
    }
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.attributes, &other.attributes)
    }
    /// The same device, though it was found anew meanwhile.
    fn hangs_with(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn device(dir: &Path, names: &[&str]) -> Device<String> {
        Device {
            about: dir.display().to_string(),
            path: dir.into(),
            attributes: names.iter().map(|name| Attribute::number(dir.join(name))).collect(),
        }
    }

    #[test]
    fn each_device_gives_what_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("temp"), "1").unwrap();
        std::fs::write(dir.path().join("broken"), "x").unwrap();
        let mut devices = Devices::default();
        devices.replace([device(dir.path(), &["temp", "broken", "absent"])]);
        let mut out = Sink::default();
        let mut seen = Vec::new();
        devices.read(&mut out, |_, values, _| seen.extend_from_slice(values));
        assert_eq!(seen, [Some(Value::Number(1.0)), None, None]);
        assert_eq!(out.finish().1.len(), 1);
    }

    #[test]
    fn a_device_that_hangs_is_not_asked_again_though_found_anew() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        dirs.iter().for_each(|dir| std::fs::write(dir.path().join("temp"), "1").unwrap());
        let find = || dirs.iter().map(|dir| device(dir.path(), &["temp"])).collect::<Vec<_>>();
        let mut devices = Devices::default();
        devices.replace(find());
        let hanging = devices.asked[0].attributes.clone();
        let hangs = hanging.lock().unwrap();
        let read = |devices: &Devices<String>| {
            let (mut out, mut count, begun) = (Sink::default(), 0, Instant::now());
            devices.read(&mut out, |_, _, _| count += 1);
            (count, out.finish().1, begun.elapsed())
        };
        let (count, faults, took) = read(&devices);
        assert!(count == 1 && faults[0].ends_with(": no answer in time"), "{faults:?}");
        assert!(took < Duration::from_millis(900), "{took:?}");
        devices.replace(find());
        std::thread::sleep(Duration::from_millis(600));
        let (count, faults, took) = read(&devices);
        assert!(count == 1 && faults.len() == 1 && took < Duration::from_millis(200), "{faults:?} {took:?}");
        drop(hangs);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(read(&devices).0, 2);
    }
}
