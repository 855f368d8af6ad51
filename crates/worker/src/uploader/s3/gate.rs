//! Asks for permission at the last moment before S3 is told to change what others see.
//!
//! A request waits for credentials, connections and pauses between tries, and the whole process may be paused. So
//! permission is asked for when a try begins and again each time a piece of the body is handed over: S3 does nothing with
//! a request whose end it has not heard.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_s3::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
    primitives::SdkBody,
};
use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::permit::Permit;

/// A gate that a request goes through.
#[derive(Debug, Clone)]
pub(super) enum Gate {
    /// For requests that make something visible.
    Publish(Permit),
    /// For requests that take it back.
    TakeBack(Permit),
}

impl Gate {
    fn check(&self) -> Result<(), BoxError> {
        let is_shut = match self {
            Self::Publish(permit) => permit.has_lapsed(),
            Self::TakeBack(permit) => permit.time_to_take_back(Duration::MAX).is_zero(),
        };
        if is_shut { Err("the lease has ended".into()) } else { Ok(()) }
    }
}

impl Intercept for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.check()?;
        let body = context.request_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Gated { inner, gate: self.clone() });
        Ok(())
    }
}

/// A body that breaks off when its gate shuts.
struct Gated {
    inner: SdkBody,
    gate: Gate,
}

impl Body for Gated {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Err(error) = self.gate.check() {
            return Poll::Ready(Some(Err(error)));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}
