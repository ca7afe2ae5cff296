//! A client of the scheduler's REST API.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{ClusterError, ErrorKind};

/// The default port of a scheduler.
const DEFAULT_PORT: u16 = 50050;
/// The maximum duration of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the REST API. A result of `None` means that the scheduler does not support the request, for instance
/// because the scheduler was built without the REST API.
#[derive(Clone, Debug)]
pub(crate) struct SchedulerClient {
    url: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct State {
    scheduling_policy: Option<String>,
}

/// An executor, as the scheduler reports it.
#[derive(Deserialize)]
pub(crate) struct Executor {
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    vcores: Option<usize>,
}

impl Executor {
    /// The number of tasks that the executor runs at the same time.
    pub(crate) fn cores(&self) -> usize {
        self.specification.vcores.unwrap_or(1)
    }
}

/// A job of the scheduler. It contains all jobs that the client has submitted together.
#[derive(Deserialize)]
pub(crate) struct SchedulerJob {
    #[serde(rename = "job_id")]
    pub(crate) id: String,
    #[serde(rename = "job_name")]
    pub(crate) name: String,
    status: String,
    pub(crate) num_stages: usize,
    pub(crate) completed_stages: usize,
}

impl SchedulerJob {
    pub(crate) fn is_running(&self) -> bool {
        self.status == "Running"
    }
}

#[derive(Deserialize)]
struct Stages {
    stages: Vec<Stage>,
}

/// A stage of a job. A stage that is not planned yet has no tasks.
#[derive(Deserialize)]
pub(crate) struct Stage {
    tasks: Vec<Option<Task>>,
}

#[derive(Deserialize)]
struct Task {
    status: serde_json::Value,
}

impl Stage {
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn finished_tasks(&self) -> usize {
        let is_finished = |task: &&Task| task.status == "Successful";
        self.tasks.iter().flatten().filter(is_finished).count()
    }
}

impl SchedulerClient {
    /// Creates a client for the scheduler at `host:port`.
    ///
    /// # Errors
    /// If the HTTP client cannot be set up.
    pub(crate) fn new(host: &str, port: u16) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { url: format!("http://{host}:{port}"), http })
    }

    /// The URL of the scheduler, which is also its gRPC address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The scheduler's version of Ballista.
    pub(crate) async fn version(&self) -> Result<Option<String>, reqwest::Error> {
        Ok(self.get::<Version>("/api/version").await?.map(|found| found.version))
    }

    /// Whether executors pull their tasks from the scheduler.
    pub(crate) async fn pulls_tasks(&self) -> Result<Option<bool>, reqwest::Error> {
        let policy = self.get::<State>("/api/state").await?.and_then(|state| state.scheduling_policy);
        Ok(policy.map(|policy| policy.to_lowercase().contains("pull")))
    }

    /// All registered executors. Dead executors are included until the scheduler removes them.
    pub(crate) async fn executors(&self) -> Result<Option<Vec<Executor>>, reqwest::Error> {
        self.get("/api/executors").await
    }

    /// All jobs that the scheduler lists, including finished jobs.
    pub(crate) async fn jobs(&self) -> Result<Option<Vec<SchedulerJob>>, reqwest::Error> {
        self.get("/api/jobs").await
    }

    /// The stages of a job.
    pub(crate) async fn stages(&self, job: &SchedulerJob) -> Result<Option<Vec<Stage>>, reqwest::Error> {
        let found = self.get::<Stages>(&format!("/api/job/{}/stages", job.id)).await?;
        Ok(found.map(|found| found.stages))
    }

    /// Cancels a job. A finished job does not change.
    pub(crate) async fn cancel(&self, job: &SchedulerJob) -> Result<(), reqwest::Error> {
        self.http.patch(format!("{}/api/job/{}", self.url, job.id)).send().await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, reqwest::Error> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let bytes = response.bytes().await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// Parses host and port from the address of a scheduler, such as `df://scheduler:50050`. The default port is 50050.
///
/// # Errors
/// If the address is invalid.
pub fn parse_address(address: &str) -> Result<(String, u16), ClusterError> {
    let invalid = || {
        let message =
            format!("{address}: not the address of a cluster; use one such as df://scheduler:{DEFAULT_PORT}");
        ClusterError::new(ErrorKind::Address, message)
    };
    let url = Url::parse(address).map_err(|_| invalid())?;
    let host = url.host_str().filter(|_| url.scheme() == "df").ok_or_else(invalid)?;
    Ok((host.to_owned(), url.port().unwrap_or(DEFAULT_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_scheme_a_host_and_maybe_a_port() {
        assert_eq!(parse_address("df://scheduler").unwrap(), ("scheduler".to_owned(), 50050));
        assert_eq!(parse_address("df://10.0.0.1:99").unwrap(), ("10.0.0.1".to_owned(), 99));
        for invalid in ["localhost:50050", "http://scheduler", "df://", "scheduler"] {
            assert_eq!(parse_address(invalid).unwrap_err().kind, ErrorKind::Address, "{invalid}");
        }
    }

    #[test]
    fn responses_of_the_scheduler_are_read() {
        let executors = r#"[{"id":"a","specification":{"vcores":2},"host":"h"}]"#;
        let executors: Vec<Executor> = serde_json::from_str(executors).unwrap();
        assert_eq!(executors[0].cores(), 2);
        let stages = r#"{"stages":[{"tasks":[null,{"status":"Successful"},{"status":"Running"}]}]}"#;
        let stages: Stages = serde_json::from_str(stages).unwrap();
        assert_eq!((stages.stages[0].tasks(), stages.stages[0].finished_tasks()), (3, 1));
    }
}
