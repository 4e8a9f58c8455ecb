//! Carries STUN messages over UDP, TCP or TLS (RFC 8489 §6.2).

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::stun::{HEADER_BYTES, Message, message_bytes};
use super::{Endpoint, Protocol, RelayError, Trust};

/// The largest datagram read: relayed data fits an Ethernet frame.
const DATAGRAM_BYTES: usize = 2048;

/// An open way to one address of a relay.
pub(super) enum Transport {
    /// Connected, so that the kernel tells when nobody listens there (ICMP).
    Datagrams(UdpSocket),
    Stream(Stream),
}

/// Messages one after the other; each says how long it is (RFC 8489 §6.2.2).
pub(super) struct Stream {
    wire: Box<dyn Wire>,
    /// What arrived of messages that are not complete.
    ///
    /// It is kept here, and not in the future that reads, because that is dropped at a timeout.
    arrived: Vec<u8>,
    certificate: Option<CertificateDer<'static>>,
}

/// What TCP and TLS have in common.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Transport {
    /// Opens a way to `address`; `endpoint` says how, and what name TLS shall find there.
    pub(super) async fn open(
        endpoint: &Endpoint,
        address: SocketAddr,
        trust: &Trust,
    ) -> Result<Self, RelayError> {
        match endpoint.protocol {
            Protocol::Udp => Ok(Self::Datagrams(datagrams(address).await?)),
            Protocol::Tcp => Ok(Self::stream(TcpStream::connect(address).await?, None)),
            Protocol::Tls => Self::tls(&endpoint.host, address, trust).await,
            Protocol::Dtls => Err(RelayError::Unsupported),
        }
    }

    async fn tls(host: &str, address: SocketAddr, trust: &Trust) -> Result<Self, RelayError> {
        let (connector, name) = trust.connector(host)?;
        let tcp = TcpStream::connect(address).await?;
        let tls = connector.connect(name, tcp).await.map_err(tls_error)?;
        let shown = tls.get_ref().1.peer_certificates();
        let certificate = shown.and_then(<[_]>::first).map(|leaf| leaf.clone().into_owned());
        Ok(Self::stream(tls, certificate))
    }

    fn stream(wire: impl Wire + 'static, certificate: Option<CertificateDer<'static>>) -> Self {
        Self::Stream(Stream { wire: Box::new(wire), arrived: Vec::new(), certificate })
    }

    /// Tells whether what is sent may get lost, so that it has to be sent again.
    pub(super) fn loses(&self) -> bool {
        matches!(self, Self::Datagrams(_))
    }

    /// What the relay showed of itself in TLS.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Datagrams(_) => None,
            Self::Stream(stream) => stream.certificate.as_deref(),
        }
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => socket.send(message).await.map(drop),
            Self::Stream(stream) => {
                stream.wire.write_all(message).await?;
                stream.wire.flush().await
            }
        }
    }

    /// Waits for the next message; nothing is lost when the waiting is given up.
    pub(super) async fn receive(&mut self) -> Result<Message, RelayError> {
        match self {
            Self::Datagrams(socket) => next_datagram(socket).await,
            Self::Stream(stream) => stream.next().await,
        }
    }
}

async fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Waits for a datagram that is STUN; others are not for us (RFC 8489 §6.3).
async fn next_datagram(socket: &UdpSocket) -> Result<Message, RelayError> {
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(message) = Message::decode(&buffer[..length]) {
            return Ok(message);
        }
    }
}

impl Stream {
    async fn next(&mut self) -> Result<Message, RelayError> {
        loop {
            if let Some(message) = self.cut()? {
                return Ok(message);
            }
            if self.wire.read_buf(&mut self.arrived).await? == 0 {
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Cuts off the first message, once it is complete.
    fn cut(&mut self) -> Result<Option<Message>, RelayError> {
        if self.arrived.len() < HEADER_BYTES {
            return Ok(None);
        }
        let length = message_bytes(&self.arrived).ok_or(RelayError::Malformed)?;
        if self.arrived.len() < length {
            return Ok(None);
        }
        let bytes: Vec<_> = self.arrived.drain(..length).collect();
        Message::decode(&bytes).map(Some).ok_or(RelayError::Malformed)
    }
}

/// Finds what rustls said inside an error of its stream.
fn tls_error(error: io::Error) -> RelayError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => RelayError::Tls(error),
        Err(error) => RelayError::Socket(error),
    }
}
