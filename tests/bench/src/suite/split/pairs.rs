//! One worker with two slots against the same ffmpeg command by hand, in pairs: the time that it takes, and, for what
//! bounds it, the processor time.

use std::time::Duration;

use anyhow::Result;
use e2e::{Plane, Sandbox, Worker, job};
use nix::unistd::Pid;

use super::{film, plane, split};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
    process::{family_time, processor_time},
    spy::Spy,
    suite::by_hand::ByHand,
};

/// What is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// Name of its ratio.
    pub(super) name: &'static str,
    pub(super) seconds: u32,
    pub(super) preset: &'static str,
}

const CASES: [Case; 6] = [
    Case { name: "split/480p-60s", seconds: 60, preset: "480p_h264" },
    Case { name: "split/720p-60s", seconds: 60, preset: "720p_h264" },
    Case { name: "split/hls-60s", seconds: 60, preset: "hls_720p_abr" },
    Case { name: "split/480p-300s", seconds: 300, preset: "480p_h264" },
    Case { name: "split/720p-300s", seconds: 300, preset: "720p_h264" },
    Case { name: "split/hls-300s", seconds: 300, preset: "hls_720p_abr" },
];

/// Five pairs of each.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let site = Site::start().await;
    let plane = plane(plan, &site.sandbox, &[site.worker.address()], None).start().await;
    let mut findings = Vec::new();
    for case in plan.pick(&CASES[..], &CASES[2..3]).iter().filter(|case| plan.wants(case.name)) {
        let learned = site.learn(plan, *case).await?;
        let mut pairs = Vec::new();
        for number in 0..plan.runs(5) {
            // Who comes first takes turns, in case the machine gets hotter.
            let early = if number % 2 == 0 { Some(site.by_hand(&learned)?) } else { None };
            let by_service = site.by_service(&learned, &plane, number).await?;
            let by_hand = early.map_or_else(|| site.by_hand(&learned), Ok)?;
            eprintln!("{}: {:.1} s against {:.1} s by hand", case.name, by_service.seconds, by_hand.seconds);
            pairs.push((by_service, by_hand));
        }
        findings.extend(learned.findings(&pairs));
    }
    Ok(findings)
}

/// What an encode costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    /// Processor time, in seconds.
    work: f64,
}

impl Cost {
    fn new(seconds: f64, work: Duration) -> Self {
        Self { seconds, work: work.as_secs_f64() }
    }

    /// Cores that were busy on average.
    fn cores(&self) -> f64 {
        self.work / self.seconds
    }
}

/// A worker, and another over whose shoulder one can look.
pub(super) struct Site {
    pub(super) worker: Worker,
    watched: Worker,
    spy: Spy,
    pub(super) sandbox: Sandbox,
}

impl Site {
    pub(super) async fn start() -> Self {
        let sandbox = Sandbox::new();
        let spy = Spy::new(&sandbox);
        let watched = sandbox.worker().env("FFMPEG_PATH", &spy.path.display()).start().await;
        let worker = sandbox.worker().env("MAX_CONCURRENT_JOBS", &2).start().await;
        Self { worker, watched, spy, sandbox }
    }

    /// Learns how it is encoded by hand.
    pub(super) async fn learn(&self, plan: &Plan, case: Case) -> Result<Learned> {
        let input = self.sandbox.input(&film(plan, case.seconds));
        let by_hand = ByHand::learn(&self.sandbox, &self.watched, &self.spy, &input, case.preset).await?;
        Ok(Learned { case, input, by_hand })
    }

    /// By hand: ffmpeg is a child of this process.
    fn by_hand(&self, learned: &Learned) -> Result<Cost> {
        let before = family_time(Pid::this())?;
        let seconds = learned.by_hand.encode(&self.sandbox)?;
        Ok(Cost::new(seconds, family_time(Pid::this())?.saturating_sub(before)))
    }

    /// By the service: all ffmpegs are children of the worker.
    async fn by_service(&self, learned: &Learned, plane: &Plane, number: usize) -> Result<Cost> {
        let work =
            || Ok::<_, anyhow::Error>(family_time(self.worker.daemon.pid())? + processor_time(plane.daemon.pid())?);
        let before = work()?;
        let seconds = learned.by_service(plane, number).await?;
        Ok(Cost::new(seconds, work()?.saturating_sub(before)))
    }
}

/// A case that can be done either way.
pub(super) struct Learned {
    case: Case,
    input: String,
    pub(super) by_hand: ByHand,
}

impl Learned {
    /// Seconds that it takes this control plane.
    pub(super) async fn by_service(&self, plane: &Plane, number: usize) -> Result<f64> {
        let path = format!("{}/{number}.mp4", self.case.name);
        split(plane, &job(&self.input, self.case.preset, "local", &path)).await
    }

    /// What is measured.
    pub(super) fn what(&self) -> String {
        let Case { preset, seconds, .. } = self.case;
        format!("{preset}, {seconds} s, one worker with two slots: POST to COMPLETED ÷ ffmpeg by hand")
    }

    /// Of what the service took, and ffmpeg by hand.
    fn findings(&self, pairs: &[(Cost, Cost)]) -> [Finding; 4] {
        let of = |value: fn(&(Cost, Cost)) -> f64| Series::from(pairs.iter().map(value).collect::<Vec<_>>());
        let Case { name, preset, seconds } = self.case;
        let figure = |part, said, unit, values| {
            Finding::new(format!("{name}-{part}"), format!("{preset}, {seconds} s: {said}"), unit, values)
        };
        let work = of(|(service, hand)| service.work / hand.work);
        [
            Finding::new(name, self.what(), Unit::Times, of(|(service, hand)| service.seconds / hand.seconds)),
            figure("work", "processor time, with the cleanup after it, ÷ that of ffmpeg by hand", Unit::Times, work),
            figure("cores", "cores that are busy", Unit::Cores, of(|(service, _)| service.cores())),
            figure("cores-hand", "cores that ffmpeg by hand keeps busy", Unit::Cores, of(|(_, hand)| hand.cores())),
        ]
    }
}
