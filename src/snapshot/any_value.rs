//! [`AnyValue`]: an entry's value of any type.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

type Shared = Arc<dyn Any + Send + Sync>;

/// A value of any type. Its last reference can be given up without running its `Drop`.
#[derive(Clone)]
pub(crate) struct AnyValue {
    value: Shared,
    release: fn(Shared) -> Option<Released>,
}

/// A value without other references, to be dropped where a slow or panicking `Drop` does no harm.
pub(crate) type Released = Box<dyn Any + Send>;

impl AnyValue {
    pub(crate) fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self { value: Arc::new(value), release: release::<T> }
    }

    #[inline(always)]
    pub(crate) fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    pub(crate) fn downcast<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.value).downcast().ok()
    }

    /// Tells values apart.
    pub(crate) fn address(&self) -> *const () {
        Arc::as_ptr(&self.value).cast()
    }

    /// Gives up this reference. The last one gives the value back instead of dropping it.
    pub(crate) fn release(self) -> Option<Released> {
        (self.release)(self.value)
    }
}

fn release<T: Send + Sync + 'static>(value: Shared) -> Option<Released> {
    // Nothing runs when such a value is dropped.
    if !std::mem::needs_drop::<T>() {
        return None;
    }
    let value = value.downcast::<T>().ok().and_then(Arc::into_inner)?;
    Some(Box::new(value))
}

/// Never the value.
impl fmt::Debug for AnyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyValue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reference_gives_the_value_back() {
        let value = AnyValue::new(vec![7]);
        let other = value.clone();
        assert!(value.release().is_none());
        assert_eq!(other.downcast_ref(), Some(&vec![7]));
        let released = other.release().and_then(|it| it.downcast::<Vec<i32>>().ok());
        assert_eq!(released.as_deref(), Some(&vec![7]));
    }
}
