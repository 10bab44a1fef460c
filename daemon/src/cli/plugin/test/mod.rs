//! `xapiary plugin test`: the real component in the real host, with a journal, against a simulated pool.
//!
//! - `scenario`: what a file says happens, and what it expects.
//! - `running`: plays one scenario.
//! - `watching`: what the plugin does meanwhile.
//! - `judging`: whether what is expected has come; pure.
//! - `report`: how it looks.

mod judging;
mod report;
mod running;
mod scenario;
mod watching;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use plugin_host::inspect;

use super::build::{self, BuildError, Component};
use super::grant::{GRANT, Grant, Unusable};
use crate::cli::{Answer, output};
use scenario::Story;

/// Where a project has its scenarios.
const SCENARIOS: &str = "scenarios";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Test {
    /// The folder of a project, which is built first, or a component
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// A scenario, or a folder of them; may be given several times. Without it: the folder `scenarios` of the project
    #[arg(long, value_name = "FILE")]
    scenario: Vec<PathBuf>,
    /// The grant to run it under. Without it: `grant.toml` of the project
    #[arg(long, value_name = "FILE")]
    grant: Option<PathBuf>,
    /// Of a Rust project: the build profile
    #[arg(long, default_value = "release")]
    profile: String,
}

pub(super) async fn test(arguments: &Test) -> Result<Answer> {
    let component = match component(arguments)? {
        Ok(component) => component,
        Err(error) => return Ok(error.told()),
    };
    match run(arguments, &component).await {
        Err(error) if error.is::<Unusable>() => {
            anstream::eprintln!("xapiary: {error}");
            Ok(Answer::Misused)
        }
        answer => answer,
    }
}

fn component(arguments: &Test) -> Result<Result<Component, BuildError>> {
    let path = &arguments.plugin;
    if path.is_dir() {
        return build::component(path, &arguments.profile);
    }
    let bytes = super::read(path).with_context(|| path.display().to_string())?;
    Ok(match inspect(&bytes) {
        Ok(inspection) => Ok(Component { path: path.clone(), bytes, inspection }),
        Err(source) => Err(BuildError::CannotLoad { path: path.clone(), source }),
    })
}

async fn run(arguments: &Test, component: &Component) -> Result<Answer> {
    let manifest = &component.inspection.manifest;
    let usual = usual_grant(arguments)?;
    let mut stories = Vec::new();
    for file in scenarios(arguments)? {
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let story = Story::parse(&text).map_err(|why| Unusable(format!("{}: {why}", file.display())))?;
        let grant = match (&story.grant, &usual) {
            (Some(own), _) => Rc::new(Grant::read(&file.parent().unwrap_or(Path::new("")).join(own))?),
            (None, Some(usual)) => Rc::clone(usual),
            (None, None) => return Err(no_grant(&arguments.plugin).into()),
        };
        stories.push((file, story, grant));
    }
    let count = output::counted(stories.len() as u64, "scenario");
    anstream::println!("{} {} on a simulated pool: {count}\n", manifest.name, manifest.version);
    let mut under_usual = Vec::new();
    let mut failed = 0;
    for (file, story, grant) in &stories {
        let played = running::play(story, &manifest.name, &component.bytes, grant).await?;
        failed += usize::from(!played.passed());
        let shown = file.strip_prefix(&arguments.plugin).unwrap_or(file).display().to_string();
        let told = report::scenario(&shown, &story.about, &played, story.when.len());
        // Refusals name the file to change, which is not the copy that the daemon read.
        let told = told.replace(&played.copy.display().to_string(), &grant.path.display().to_string());
        anstream::println!("{told}");
        if usual.as_ref().is_some_and(|usual| Rc::ptr_eq(usual, grant)) {
            under_usual.push(played);
        }
    }
    anstream::print!("{}", report::coverage(&under_usual));
    if failed == 0 {
        return Ok(Answer::Done);
    }
    anstream::println!("\n{failed} of {} failed", stories.len());
    Ok(Answer::No)
}

/// The grant of scenarios that name none of their own.
fn usual_grant(arguments: &Test) -> Result<Option<Rc<Grant>>> {
    let beside = arguments.plugin.join(GRANT);
    let file = arguments.grant.clone().or_else(|| beside.is_file().then_some(beside));
    file.map(|file| Grant::read(&file).map(Rc::new)).transpose()
}

fn no_grant(plugin: &Path) -> Unusable {
    Unusable(format!(
        "there is no grant: write {GRANT} beside the manifest in {} as an administrator would, or name one with --grant; what no \
         line of it opens is closed",
        plugin.display()
    ))
}

/// The scenario files, in order.
fn scenarios(arguments: &Test) -> Result<Vec<PathBuf>> {
    let usual = [arguments.plugin.join(SCENARIOS)];
    let named = if arguments.scenario.is_empty() { &usual[..] } else { &arguments.scenario };
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            let listed = std::fs::read_dir(path).with_context(|| format!("listing {}", path.display()))?;
            let listed: Vec<PathBuf> =
                listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
            files.extend(
                listed.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "toml")),
            );
        } else if path.is_file() {
            files.push(path.clone());
        } else {
            return Err(Unusable(format!(
                "there is no scenario {}: name one with --scenario",
                path.display()
            ))
            .into());
        }
    }
    files.sort();
    if files.is_empty() {
        let folders: Vec<String> = named.iter().map(|path| path.display().to_string()).collect();
        return Err(Unusable(format!(
            "there is no scenario in {}: write one, or name one with --scenario",
            folders.join(", ")
        ))
        .into());
    }
    Ok(files)
}
