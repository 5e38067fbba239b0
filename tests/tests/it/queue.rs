//! The queue port: one suite over both implementations, and what only a broker on the network can do to us.

mod postgres;
mod proxy;
mod rabbit;
mod suite;

/// Runs the whole suite over what `$fresh` makes: a [`suite::Subject`] with an empty queue. `$done` takes it down.
macro_rules! over {
    ($fresh:path, $done:path: $($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let Some(subject) = $fresh().await else { return };
            super::suite::$name(&subject).await;
            $done(subject).await;
        }
    )* };
    ($fresh:path, $done:path) => { super::over! { $fresh, $done:
        what_was_published_is_there_for_others
        order_holds_within_partition_and_lane
        urgent_comes_before_live_before_bulk
        what_was_not_acknowledged_comes_again_after_close_in_order
        what_a_lost_consumer_held_comes_again
        what_was_acknowledged_never_comes_again
        what_was_received_does_not_come_twice_to_the_same_consumer
        receive_waits_for_the_first_and_no_longer
        partitions_do_not_touch_each_other
        bytes_pass_untouched
        depth_counts_what_is_not_acknowledged
        publishers_at_once_keep_their_own_order
    } };
}
use over;
