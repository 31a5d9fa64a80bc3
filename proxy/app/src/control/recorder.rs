//! Writes the record to files of bounded size (docs/record.md). A disk that is full or gone never disturbs serving: it is
//! said once, counted, and tried again with the next step.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use foretoken_predict::record;
use foretoken_types::StoreId;
use tokio::sync::mpsc;

use crate::metrics::RecordMetrics;

/// Files that the room is divided into: the oldest eighth goes when there is no more.
const PARTS: u64 = 8;
/// Steps that wait for the disk; more are dropped and counted.
const DEPTH: usize = 16;
/// How far back the end of the last whole line is sought: lines are a tenth of it.
const TAIL: u64 = 8 * 1024;

/// Where to record, and how much.
#[derive(Clone, Debug)]
pub(crate) struct RecordParams {
    /// Directory, made when it is missing.
    pub(crate) directory: PathBuf,
    /// Most bytes of all files of one store.
    pub(crate) bytes_most: u64,
}

/// The steps of one store on their way to its files.
pub(super) struct Recorder {
    steps: mpsc::Sender<String>,
    metrics: RecordMetrics,
}

impl Recorder {
    /// Starts the task that writes. It ends when this value is gone and all is written.
    pub(super) fn start(store: &StoreId, params: &RecordParams) -> Self {
        let (steps, mut steps_in) = mpsc::channel::<String>(DEPTH);
        let metrics = RecordMetrics::new(store);
        let mut files = Files::new(&params.directory, store, params.bytes_most);
        let (counted, id) = (metrics.clone(), store.clone());
        tokio::task::spawn_blocking(move || {
            let mut well = true;
            while let Some(lines) = steps_in.blocking_recv() {
                match files.append(&lines) {
                    Ok(()) => {
                        counted.written(lines.lines().count());
                        if !std::mem::replace(&mut well, true) {
                            tracing::info!(store = %id, "the record is written again");
                        }
                    }
                    Err(error) => {
                        counted.lost(lines.lines().count());
                        if std::mem::replace(&mut well, false) {
                            tracing::warn!(
                                store = %id,
                                file = %files.newest().display(),
                                error = %error,
                                "the record can't be written: steps are not recorded until it can"
                            );
                        }
                    }
                }
            }
        });
        Self { steps, metrics }
    }

    /// Records a step, its lines together: they are written in one piece or not at all.
    pub(super) fn step(&self, lines: String) {
        if let Err(error) = self.steps.try_send(lines) {
            // The disk hangs.
            self.metrics.lost(error.into_inner().lines().count());
        }
    }
}

/// The files of one store: `cart.csv` is written, `cart.1.csv` is the one before, and so on.
struct Files {
    directory: PathBuf,
    store: StoreId,
    part_bytes_most: u64,
    open: Option<(File, u64)>,
}

impl Files {
    fn new(directory: &Path, store: &StoreId, bytes_most: u64) -> Self {
        let part_bytes_most = bytes_most / PARTS;
        Self { directory: directory.to_owned(), store: store.clone(), part_bytes_most, open: None }
    }

    fn part(&self, number: u64) -> PathBuf {
        let Self { directory, store, .. } = self;
        if number == 0 { self.newest() } else { directory.join(format!("{store}.{number}.csv")) }
    }

    fn newest(&self) -> PathBuf {
        self.directory.join(format!("{}.csv", self.store))
    }

    fn append(&mut self, lines: &str) -> io::Result<()> {
        let more = lines.len() as u64;
        if let Some((_, length)) = &self.open
            && length.saturating_add(more) > self.part_bytes_most
        {
            self.open = None;
            self.shift()?;
        }
        let (mut file, length) = match self.open.take() {
            Some(open) => open,
            None => self.open(more)?,
        };
        if let Err(error) = file.write_all(lines.as_bytes()) {
            // Half a step is none. If not even that can be undone, the next opening does it.
            file.set_len(length).ok();
            return Err(error);
        }
        self.open = Some((file, length + more));
        Ok(())
    }

    /// The newest file, ready for `more` bytes at its end, which is that of a whole line.
    fn open(&mut self, more: u64) -> io::Result<(File, u64)> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let header = record::header();
        for _ in 0..2 {
            let mut options = OpenOptions::new();
            let mut file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(self.newest())?;
            let mut length = whole(&mut file)?;
            if length == 0 {
                file.set_len(0)?;
                file.write_all(header.as_bytes())?;
                length = header.len() as u64;
            }
            let fits = length.saturating_add(more) <= self.part_bytes_most || length == header.len() as u64;
            if fits && starts_with(&mut file, &header)? {
                // Whatever was torn by a kill or a full disk goes.
                file.set_len(length)?;
                file.seek(SeekFrom::Start(length))?;
                return Ok((file, length));
            }
            // It is full, or written by a version with other columns.
            drop(file);
            self.shift()?;
        }
        Err(io::Error::other("the new file is not as it was written"))
    }

    /// Each file takes the next number; the oldest goes.
    fn shift(&self) -> io::Result<()> {
        for number in (0..PARTS - 1).rev() {
            match std::fs::rename(self.part(number), self.part(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where the last whole line ends.
fn whole(file: &mut File) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    (&mut *file).take(TAIL).read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n');
    file.seek(SeekFrom::Start(0))?;
    Ok(end.map_or(0, |end| from + end as u64 + 1))
}

fn starts_with(file: &mut File, header: &str) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = vec![0; header.len()];
    match file.read_exact(&mut start) {
        Ok(()) => Ok(start == header.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, bytes: u64) -> Files {
        Files::new(dir, &StoreId::from("cart"), bytes)
    }

    fn read(dir: &Path, name: &str) -> String {
        std::fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    fn size(dir: &Path) -> u64 {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn files_are_turned_over_and_their_sum_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let most = 8 * 2048;
        let mut files = files(dir.path(), most);
        for number in 0..2000 {
            files.append(&format!("{number:099}\n")).unwrap();
            assert!(size(dir.path()) <= most);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 8);
        let (newest, before) = (read(dir.path(), "cart.csv"), read(dir.path(), "cart.1.csv"));
        assert!(newest.starts_with(&record::header()) && before.starts_with(&record::header()));
        assert!(newest.ends_with("1999\n"));
        let number = |line: Option<&str>| line.unwrap().parse::<u32>().unwrap();
        assert_eq!(
            number(before.lines().last()) + 1,
            number(newest.lines().nth(1)),
            "nothing between two files"
        );
    }

    #[test]
    fn a_line_that_was_torn_is_cut_off_before_the_next() {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path(), 1 << 20).append("first\n").unwrap();
        for torn in ["tor", "", "to,rn"] {
            let mut file = OpenOptions::new().append(true).open(dir.path().join("cart.csv")).unwrap();
            file.write_all(torn.as_bytes()).unwrap();
            files(dir.path(), 1 << 20).append("next\n").unwrap();
        }
        assert_eq!(read(dir.path(), "cart.csv"), record::header() + "first\nnext\nnext\nnext\n");
        // Torn in the header, too.
        std::fs::write(dir.path().join("cart.csv"), "unix_").unwrap();
        files(dir.path(), 1 << 20).append("new\n").unwrap();
        assert_eq!(read(dir.path(), "cart.csv"), record::header() + "new\n");
    }

    #[test]
    fn a_file_of_other_columns_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cart.csv"), "other,columns\n1,2\n").unwrap();
        files(dir.path(), 1 << 20).append("new\n").unwrap();
        assert_eq!(read(dir.path(), "cart.1.csv"), "other,columns\n1,2\n");
        assert_eq!(read(dir.path(), "cart.csv"), record::header() + "new\n");
    }

    #[test]
    fn what_is_in_the_way_is_an_error_and_passes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("record");
        std::fs::write(&place, "a file where the directory should be").unwrap();
        let mut files = files(&place, 1 << 20);
        assert!(files.append("lost\n").is_err());
        std::fs::remove_file(&place).unwrap();
        files.append("kept\n").unwrap();
        assert_eq!(read(&place, "cart.csv"), record::header() + "kept\n");
    }
}
