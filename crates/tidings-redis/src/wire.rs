//! The connection: one server, or a Cluster. Requests of many callers share it and are pipelined by it; none waits longer
//! than the timeout, and no more than a fixed number are under way.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisError, RedisFuture, ServerErrorKind, TlsCertificates, Value,
};
use tidings_core::error::{Code, Error, Result};
use tokio::sync::Semaphore;

use crate::Settings;
use crate::breaker::{Breaker, Permit};
use crate::fault::{fault, is_outage};
use crate::random::random;
use crate::script::{Reply, Script};

/// Two kinds of deployment, one way to talk to them. Both reconnect by themselves, with jitter; the second follows
/// MOVED and ASK.
#[derive(Clone)]
enum Line {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(line) => line.req_packed_command(cmd),
            Self::Cluster(line) => line.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(line) => line.req_packed_commands(pipeline, offset, count),
            Self::Cluster(line) => line.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(line) => line.get_db(),
            Self::Cluster(line) => line.get_db(),
        }
    }
}

/// Why a request was not made, or what came of it.
#[derive(Debug)]
pub(crate) enum Unasked {
    Failed(Error),
    Resting,
    Overloaded,
}

/// A shared connection.
pub(crate) struct Wire {
    line: Line,
    /// Where to, without the password.
    at: String,
    timeout: Duration,
    in_flight: Semaphore,
    breaker: Mutex<Breaker>,
    started: Instant,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) async fn connect(settings: &Settings) -> Result<Self> {
        let infos = settings.addresses.iter().map(|address| info(address)).collect::<Result<Vec<_>>>()?;
        let at = infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",");
        let Some(first) = infos.first().cloned() else {
            return Err(Error::new(Code::SETTING_INVALID, "the shared cache has no address"));
        };
        let authority = authority(settings, &infos)?;
        let connecting = async {
            Ok(match settings.cluster {
                true => Line::Cluster(cluster(settings, infos, authority)?.get_async_connection().await?),
                false => Line::One(one(settings, first, authority).await?),
            })
        };
        let connected = tokio::time::timeout(settings.connect_timeout, connecting);
        let line = match connected.await {
            Ok(connected) => connected.map_err(|error: RedisError| fault(&at, &error))?,
            Err(_) => return Err(late(&at, settings.connect_timeout)),
        };
        Ok(Self {
            line,
            at,
            timeout: settings.timeout,
            in_flight: Semaphore::new(settings.in_flight),
            breaker: Mutex::new(Breaker::new(settings.breaker, settings.timeout * 2)),
            started: Instant::now(),
        })
    }

    /// Where to, without the password.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// A request on behalf of a read, which has somewhere else to go: there is a limit to how many are under way.
    pub(crate) async fn guarded<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T, Unasked> {
        let permit = self.breaker().permit(self.started.elapsed());
        if permit == Permit::Rest {
            return Err(Unasked::Resting);
        }
        let Ok(_place) = self.in_flight.try_acquire() else { return Err(Unasked::Overloaded) };
        let answer = request.await;
        let worked = !answer.as_ref().is_err_and(is_outage);
        self.breaker().told(permit, worked, self.started.elapsed(), random());
        answer.map_err(Unasked::Failed)
    }

    /// A request that must be made: it waits for its turn.
    pub(crate) async fn tell(&self, script: &Script, keys: &[&str], args: &[&[u8]]) -> Result<Reply> {
        let Ok(_place) = self.in_flight.acquire().await else {
            return Err(Error::new(Code::STOPPING, "the shared cache"));
        };
        self.one(script, keys, args).await
    }

    pub(crate) async fn one(&self, script: &Script, keys: &[&str], args: &[&[u8]]) -> Result<Reply> {
        let answer = self.run(script, keys, args).await.and_then(Value::extract_error);
        Reply::new(answer.map_err(|error| self.fault(&error))?)
    }

    /// What the script answers; within it there may be errors.
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<Value, RedisError> {
        match self.command(&script.call(false, keys, args)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command(&script.call(true, keys, args)).await
            }
            known => known,
        }
    }

    async fn command(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        let mut line = self.line.clone();
        let answer = tokio::time::timeout(self.timeout, line.req_packed_command(cmd));
        let timed_out = |_| (ErrorKind::Io, "no answer in time", format!("{:?}", self.timeout));
        match answer.await.map_err(timed_out)?? {
            Value::ServerError(error) => Err(error.into()),
            value => Ok(value),
        }
    }

    /// A plain command, for what is looked at and never decided on.
    pub(crate) async fn plain(&self, cmd: &Cmd) -> Result<Value> {
        let answer = self.command(cmd).await.and_then(Value::extract_error);
        answer.map_err(|error| self.fault(&error))
    }

    pub(crate) fn fault(&self, error: &RedisError) -> Error {
        fault(&self.at, error)
    }

    /// The longest that a request takes.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A request has taken longer.
    pub(crate) fn late(&self) -> Error {
        late(&self.at, self.timeout)
    }

    /// Whether requests are let through.
    pub(crate) fn is_closed(&self) -> bool {
        self.breaker().is_closed()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late(at: &str, after: Duration) -> Error {
    Error::new(Code::REDIS_UNREACHABLE, format!("the store did not answer within {after:?}")).at(at)
}

fn info(address: &str) -> Result<ConnectionInfo> {
    if address.starts_with("rediss:") {
        // The client takes the process's default; if there is one already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    // The address itself stays out of the message: it may hold a password.
    let info = address.into_connection_info().map_err(|_| {
        Error::new(Code::SETTING_INVALID, "the shared cache's address is not like redis://host:port/db")
    })?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(redis))
}

/// Whom the servers' certificates are held against, if that is not the system's list.
fn authority(settings: &Settings, infos: &[ConnectionInfo]) -> Result<Option<TlsCertificates>> {
    let Some(path) = &settings.authority else { return Ok(None) };
    if !infos.iter().all(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. })) {
        let what = "an authority is set for the shared cache, but an address does not begin with rediss://";
        return Err(Error::new(Code::SETTING_INVALID, what));
    }
    let read = std::fs::read(path);
    let root_cert = read.map_err(|e| {
        let what = "the file with the shared cache's authority cannot be read";
        Error::new(Code::REDIS_TLS, what).because(e).at(path.display())
    })?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) }))
}

async fn one(
    settings: &Settings,
    info: ConnectionInfo,
    authority: Option<TlsCertificates>,
) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        // Ours is around it, and covers waiting for a connection as well.
        .set_response_timeout(None)
        .set_min_delay(Duration::from_millis(10))
        .set_max_delay(Duration::from_secs(1))
        .set_number_of_retries(2)
        .set_pipeline_buffer_size(settings.in_flight);
    let client = match authority {
        Some(authority) => Client::build_with_tls(info, authority)?,
        None => Client::open(info)?,
    };
    ConnectionManager::new_with_config(client, config).await
}

fn cluster(
    settings: &Settings,
    infos: Vec<ConnectionInfo>,
    authority: Option<TlsCertificates>,
) -> Result<ClusterClient, RedisError> {
    let builder = ClusterClient::builder(infos);
    let builder = match authority {
        Some(authority) => builder.certs(authority),
        None => builder,
    };
    builder
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.timeout)
        .max_connection_attempts(NonZeroUsize::MIN)
        .retries(4)
        .min_retry_wait(10)
        .max_retry_wait(500)
        .build()
}
