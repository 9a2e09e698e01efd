//! Where servers are, and how they are reached: URLs, TLS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::status::Status;

/// How servers are reached. Names are those of etcdctl.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Servers, such as http://127.0.0.1:2379; more than one separated by commas
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    pub endpoints: Vec<String>,
    /// File of the authorities that https servers are checked against [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// File of this client's certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// File of the certificate's private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Does not check the certificates of servers
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,
    /// Name and password to log in with, such as root:secret
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub user: Option<String>,
    /// How long a connection may take to be made, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub dial_timeout: u64,
}

/// A server's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Reads a URL; without a scheme it is plain HTTP.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let bad =
            |why: &str| format!("{text:?} is no endpoint such as http://127.0.0.1:2379: {why}");
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(bad("the scheme has to be http or https")),
        };
        // Under a scheme without a port of its own: a port that is given has to be seen.
        let url = url::Url::parse(&format!("etcd://{rest}")).map_err(|e| bad(&e.to_string()))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(bad("there must be no path"));
        }
        let host = url.host_str().ok_or_else(|| bad("there is no host"))?;
        Ok(Endpoint {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(2379),
        })
    }

    /// Host and port, as in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// `UNAVAILABLE`, with the place and the reason.
    pub(super) async fn dial(&self, limit: Duration) -> Result<TcpStream, Status> {
        let failed = |why: String| {
            Status::unavailable(format!("cannot connect to {}: {why}", self.authority()))
        };
        let dial = TcpStream::connect((self.host.as_str(), self.port));
        let tcp = match tokio::time::timeout(limit, dial).await {
            Ok(tcp) => tcp.map_err(|e| failed(e.to_string()))?,
            Err(_) => return Err(failed(format!("no answer within {limit:?}"))),
        };
        tcp.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
        Ok(tcp)
    }

    /// Speaks TLS on a connection.
    pub(super) async fn secure(
        &self,
        tls: &TlsConnector,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Status> {
        let failed =
            |why: String| Status::unavailable(format!("no TLS with {}: {why}", self.authority()));
        let name = ServerName::try_from(self.host.clone()).map_err(|e| failed(e.to_string()))?;
        tls.connect(name, tcp)
            .await
            .map_err(|e| failed(e.to_string()))
    }
}

impl Default for Options {
    /// A server at etcd's usual place.
    fn default() -> Options {
        Options {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            cacert: None,
            cert: None,
            key: None,
            insecure_skip_tls_verify: false,
            user: None,
            dial_timeout: 5000,
        }
    }
}

impl Options {
    /// The endpoints, read.
    ///
    /// # Errors
    /// A text that names the one that cannot be read.
    pub fn places(&self) -> Result<Vec<Endpoint>, String> {
        let all = self
            .endpoints
            .iter()
            .map(|text| Endpoint::parse(text.trim()));
        let all: Vec<Endpoint> = all.collect::<Result<_, _>>()?;
        if all.is_empty() {
            return Err("no endpoint was given".to_owned());
        }
        Ok(all)
    }

    /// How long a connection may take to be made.
    #[must_use]
    pub fn dial_limit(&self) -> Duration {
        Duration::from_millis(self.dial_timeout)
    }

    /// Name and password.
    pub(super) fn login(&self) -> Result<Option<(String, String)>, Status> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let (name, password) = user.split_once(':').ok_or_else(|| {
            Status::new(Status::INVALID_ARGUMENT, "--user has to be NAME:PASSWORD")
        })?;
        Ok(Some((name.to_owned(), password.to_owned())))
    }

    /// What TLS needs to know.
    pub(super) fn tls(&self) -> Result<TlsConnector, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let builder = if self.insecure_skip_tls_verify {
            let any = Arc::new(AnyServer(provider));
            builder.dangerous().with_custom_certificate_verifier(any)
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let read = |what: &PathBuf, e: &dyn std::fmt::Display| {
                    format!("cannot read {}: {e}", what.display())
                };
                let chain = CertificateDer::pem_file_iter(cert)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|e| read(cert, &e))?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| read(key, &e))?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|e| format!("the certificate and its key do not fit: {e}"))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(file) = &self.cacert else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let bad = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", file.display());
        for cert in CertificateDer::pem_file_iter(file).map_err(|e| bad(&e))? {
            let cert = cert.map_err(|e| bad(&e))?;
            roots.add(cert).map_err(|e| bad(&e))?;
        }
        if roots.is_empty() {
            return Err(bad(&"there is no certificate in it"));
        }
        Ok(roots)
    }
}

/// Takes every server's certificate for good: `--insecure-skip-tls-verify`.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
