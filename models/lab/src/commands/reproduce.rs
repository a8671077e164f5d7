//! `candor-lab reproduce`: a published experiment over paired seeds, resumable, with a verdict per claim.

use super::Failure;
use candor_lab::reproduce::{
    Job, Multitask, Nodules, Outcome, Plateau, Record, Rotation, Size, Spectral, Study, csv, dice_plus_plus,
    judge, margin_smoothing, markdown, recipes, svg,
};
use candor_lab::train::TrainError;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Which experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Margin-based label smoothing against its baselines (Murugesan et al. 2022)
    Mbls,
    /// DSC++ against the plain region losses (Yeung et al. 2023)
    Dscpp,
    /// Every loss, trained until more training changes nothing
    Plateau,
    /// Ways to train, against cross-entropy with a temperature
    Recipes,
    /// Calibration after a rotation pretext (Sambyal et al. 2023)
    Rotation,
    /// One network for several data sets (Karimi & Gholipour 2022)
    Multitask,
    /// Spectral signatures against other OOD scores (Karimi & Gholipour 2022)
    Spectral,
    /// Losses and generalization on synthetic nodules (Baltatzis et al. 2021)
    Nodules,
}

/// Arguments of `reproduce`.
#[derive(Args)]
#[command(after_help = "Example:\n  candor-lab reproduce mbls --data DATA --out reproductions")]
pub struct ReproduceArguments {
    /// The experiment
    study: Which,
    /// Two hardly trained pairs: shows that the experiment runs, and decides nothing
    #[arg(long)]
    quick: bool,
    /// Folder with cardiac-mr and ultrasound, images and masks in each; without it phantoms alone are used
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder for STUDY.jsonl, from which an interrupted run goes on, STUDY.csv, STUDY.md and STUDY.svg
    #[arg(long, short, default_value = "reproductions")]
    out: PathBuf,
    /// Jobs at once, 1..=256; all cores by default
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Where finished jobs are kept, one line each after a line with the size.
struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens or begins the journal at `path`; what it already holds.
    fn open(path: PathBuf, size: &Size) -> Result<(Self, Vec<Outcome>), Failure> {
        let refused = |what: String| Failure::invalid(format!("{}: {what}", path.display()));
        let head = serde_json::to_string(size).map_err(|error| refused(error.to_string()))?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(refused(error.to_string())),
        };
        if text.lines().next().is_some_and(|line| line != head) {
            return Err(refused("made with other settings; remove it or choose another --out".into()));
        }
        // What follows the last whole line was cut off while being written.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut done = Vec::new();
        for (at, line) in text[..whole].lines().enumerate().skip(1) {
            let outcome = serde_json::from_str(line);
            done.push(outcome.map_err(|error| refused(format!("line {}: {error}", at + 1)))?);
        }
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = opened.map_err(|error| refused(error.to_string()))?;
        file.set_len(whole as u64).map_err(|error| refused(error.to_string()))?;
        if whole == 0 {
            writeln!(file, "{head}").map_err(|error| refused(error.to_string()))?;
        }
        Ok((Self { path, file: Mutex::new(file) }, done))
    }

    fn add(&self, outcome: &Outcome) -> Result<(), TrainError> {
        let refused = |what: String| TrainError::Invalid(vec![format!("{}: {what}", self.path.display())]);
        let line = serde_json::to_string(outcome).map_err(|error| refused(error.to_string()))?;
        let mut file = self.file.lock().map_err(|error| refused(error.to_string()))?;
        writeln!(file, "{line}").map_err(|error| refused(error.to_string()))
    }
}

/// Sets how many threads Candle's tensor operations wait with, in a spin that takes a core from other jobs.
const CANDLE_THREADS: &str = "RAYON_NUM_THREADS";

/// What keeps glibc from giving the memory of every tensor back to the system and asking for it again, which
/// takes as long as the convolutions do.
const KEPT_MEMORY: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "1000000000"),
    ("MALLOC_TRIM_THRESHOLD_", "1000000000"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// Runs `reproduce` in a process of its own where Candle must be told to keep to the thread of its job.
pub fn start(arguments: &ReproduceArguments) -> Result<ExitCode, Failure> {
    if std::env::var(CANDLE_THREADS).is_ok_and(|threads| threads == "1") {
        return reproduce(arguments);
    }
    let refused =
        |error: std::io::Error| Failure::invalid(format!("candor-lab cannot start itself: {error}"));
    let mut child = Command::new(std::env::current_exe().map_err(refused)?);
    child.args(std::env::args_os().skip(1)).env(CANDLE_THREADS, "1").envs(KEPT_MEMORY);
    let child = child.status().map_err(refused)?;
    Ok(child.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs what is left, then writes tables, picture and verdicts.
fn reproduce(arguments: &ReproduceArguments) -> Result<ExitCode, Failure> {
    let folder = &arguments.out;
    let size = if arguments.quick { Size::quick } else { Size::full }(arguments.data.clone());
    let study: Box<dyn Study> = match arguments.study {
        Which::Mbls => Box::new(margin_smoothing(size.clone())),
        Which::Dscpp => Box::new(dice_plus_plus(size.clone())),
        Which::Plateau => Box::new(Plateau(size.clone())),
        Which::Recipes => Box::new(recipes(size.clone())),
        Which::Rotation => Box::new(Rotation(size.clone())),
        Which::Multitask => Box::new(Multitask(size.clone())),
        Which::Spectral => Box::new(Spectral(size.clone())),
        Which::Nodules => Box::new(Nodules(size.clone())),
    };
    let name = arguments.study.to_possible_value().map(|own| own.get_name().to_string()).unwrap_or_default();
    let file = |ending: &str| folder.join(format!("{name}.{ending}"));
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::invalid(format!("{}: {error}", folder.display())))?;
    // Neither where the data lie nor who calls changes a figure; whether there are data does.
    let recorded = Size { data: size.data.as_ref().map(|_| PathBuf::from("DATA")), ..size };
    let (journal, mut done) = Journal::open(file("jsonl"), &recorded)?;
    let jobs = study.jobs();
    let left: Vec<&Job> = jobs.iter().filter(|job| done.iter().all(|own| own.job != **job)).collect();
    let threads = match arguments.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, |count| count.get()),
    };
    let refused = |error: TrainError| Failure::problems(Path::new(&name), error.problems().into_iter());
    done.extend(run(study.as_ref(), &left, &journal, threads).map_err(refused)?);
    done.sort_by_key(|outcome| jobs.iter().position(|job| *job == outcome.job));
    let seconds: f64 = done.iter().map(|outcome| outcome.seconds).sum();
    let records: Vec<Record> = done.into_iter().flat_map(|outcome| outcome.records).collect();
    let judged = judge(&study.claims(), &records).map_err(|error| Failure::invalid(error.to_string()))?;
    let mut text = markdown(study.title(), &study.columns(), &records, &judged);
    let data = if recorded.data.is_some() { " --data DATA" } else { "" };
    let quick = if arguments.quick { " --quick" } else { "" };
    text.push_str(&format!(
        "\nMade by `candor-lab reproduce {name}{quick}{data}` in {:.0} minutes of one thread.\n",
        seconds / 60.0
    ));
    let written = [
        (file("csv"), csv(&records)),
        (file("md"), text.clone()),
        (file("svg"), svg(study.title(), &study.columns(), &records)),
    ];
    for (path, text) in &written {
        candor_imaging::write::file(path, text.as_bytes())
            .map_err(|error| Failure::invalid(error.to_string()))?;
    }
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// Runs `jobs` on `threads` threads, each job on one; stops at the first that fails.
fn run(
    study: &dyn Study,
    jobs: &[&Job],
    journal: &Journal,
    threads: usize,
) -> Result<Vec<Outcome>, TrainError> {
    let bar = ProgressBar::new(jobs.len() as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs, {eta} left, {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Outcome>, TrainError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| TrainError::Invalid(vec![error.to_string()]))?;
        let mut outcomes = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            bar.set_message(format!("{}, {}, pair {}", job.group, job.arm, job.seed));
            let begun = Instant::now();
            let records = pool.install(|| study.run(job)).inspect_err(|_| {
                // The others finish what they are at, and no more.
                next.store(jobs.len(), Ordering::Relaxed);
            })?;
            let seconds = begun.elapsed().as_secs_f64();
            let outcome = Outcome { job: (*job).clone(), seconds, records };
            journal.add(&outcome)?;
            outcomes.push(outcome);
            bar.inc(1);
        }
        Ok(outcomes)
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    bar.finish_and_clear();
    let mut outcomes = Vec::new();
    for found in found {
        match found {
            Ok(own) => outcomes.extend(own?),
            Err(_) => return Err(TrainError::Invalid(vec!["a thread stopped; run again to go on".into()])),
        }
    }
    Ok(outcomes)
}
