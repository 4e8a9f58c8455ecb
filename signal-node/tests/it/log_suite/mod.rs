//! What every room log promises; asked of the one in memory and of the one in a real Redis.

mod apart;
mod calls;
mod clocks;
mod differential;
mod events;
mod losses;
mod members;
mod messages;
mod mixed;
mod posts;
mod stage;
mod takeover;
mod together;

use stage::{Publishing, Stage, next_batch, say};

macro_rules! suite {
    ($($group:ident::$test:ident),+ $(,)?) => {
        mod memory {
            use super::stage::Stage;
            $(#[tokio::test] async fn $test() { super::$group::$test(Stage::memory()).await; })+
        }
        mod redis {
            use super::stage::{Publishing, Stage};
            $(#[tokio::test] async fn $test() {
                super::$group::$test(Stage::redis(Publishing::Sharded).await).await;
            })+
        }
    };
}

suite! {
    members::the_newcomer_is_told_who_was_there_and_n_counts_the_joins,
    members::a_room_never_holds_more_than_its_cap_however_many_join_at_once,
    members::of_any_two_members_exactly_one_was_told_the_other,
    messages::one_call_is_one_batch_with_consecutive_numbers_and_its_predecessor,
    messages::numbers_only_grow_and_stay_exact_in_javascript,
    messages::a_member_s_messages_take_effect_once_and_in_order,
    messages::a_refusal_for_good_consumes_its_number,
    messages::only_the_newest_claim_acts_for_a_member,
    messages::who_comes_back_is_told_what_was_refused,
    members::a_repeated_join_is_answered_as_the_first_and_adds_nothing,
    members::a_member_comes_back_as_itself_with_its_count,
    members::a_position_is_good_for_a_replay_only_where_the_log_is_whole,
    members::a_stale_or_foreign_join_has_no_effect,
    members::an_absent_member_keeps_its_seat_until_the_grace_is_over,
    members::a_kicked_and_banned_subject_stays_out,
    members::a_ban_removes_every_member_of_its_subject_and_stands_at_a_resume,
    members::a_locked_room_takes_no_new_member_but_its_own_back,
    members::what_was_configured_is_seen_and_outlives_the_members,
    messages::an_announcement_is_made_once_for_each_key,
    members::the_last_seat_of_a_room_that_seals_locks_it_for_good,
    posts::a_number_is_advanced_once_from_each_value,
    members::a_token_s_own_cap_bounds_its_join_only,
    members::one_subject_has_only_so_many_members,
    messages::an_update_replaces_meta_in_the_roster,
    messages::what_is_told_once_reaches_who_listens_and_is_not_kept,
    messages::payloads_are_carried_byte_for_byte,
    messages::the_log_is_trimmed_to_its_length,
    messages::a_dropped_feed_ends_and_a_new_one_hears,
    messages::the_past_is_read_in_pages,
    takeover::a_suspicion_takes_the_claim_and_the_owner_takes_the_member_back,
    takeover::only_living_members_of_silent_nodes_are_suspected,
    takeover::a_resume_ends_the_claims_before_and_after_a_suspicion,
    takeover::a_suspected_member_is_removed_when_the_grace_is_over_since_the_silence,
    takeover::who_may_not_judge_removes_nobody,
    takeover::a_caller_who_has_seen_more_is_told_and_nothing_happens,
    takeover::a_lost_room_is_restored_and_everyone_is_told,
    takeover::who_has_seen_more_than_there_is_waits_to_be_put_back,
    takeover::who_comes_back_having_seen_more_than_there_is_has_the_others_told,
    takeover::who_comes_back_with_more_settled_than_there_is_has_the_others_told,
    takeover::of_two_restorations_the_greater_claim_and_count_win,
    posts::a_post_reaches_the_room_once_however_often_it_is_repeated,
    posts::a_post_into_a_room_where_nobody_is_present_is_gone,
    posts::a_post_whose_only_receiver_is_on_a_silent_node_is_gone,
    posts::a_post_while_members_are_restored_is_to_be_repeated,
    posts::a_client_that_does_not_count_its_joins_takes_its_member_over,
    posts::a_late_copy_of_an_uncounted_join_does_not_bring_its_member_back,
    posts::an_uncounted_join_is_refused_where_another_key_fills_the_room,
    calls::a_call_is_carried_as_it_was_said_and_is_the_same_one_when_said_again,
    calls::only_devices_answer_and_only_the_caller_cancels,
    calls::whatever_is_said_in_whatever_order_the_rule_holds_and_all_are_told_it,
    calls::a_call_that_has_rung_for_long_enough_is_over_for_whoever_asks_next,
    calls::sixteen_calls_ring_at_once_and_an_ended_one_makes_room,
    calls::a_call_is_kept_with_its_inbox_although_nobody_is_there,
}

macro_rules! event_suite {
    ($($test:ident),+ $(,)?) => {
        mod memory_events {
            use super::stage::Stage;
            $(#[tokio::test] async fn $test() {
                let (stage, store) = Stage::memory_with_events();
                super::events::$test(stage, store).await;
            })+
        }
        mod redis_events {
            use super::stage::Stage;
            $(#[tokio::test] async fn $test() {
                let (stage, store) = Stage::redis_with_events().await;
                super::events::$test(stage, store).await;
            })+
        }
    };
}

event_suite! {
    each_change_of_a_room_is_queued_with_it_and_once,
    each_change_of_a_call_is_queued_and_of_an_inbox_nothing_else,
    an_event_stays_until_every_endpoint_is_past_it,
    dead_letters_are_kept_and_replayed_to_their_endpoint,
    a_queue_that_nobody_attends_to_is_taken_over_once,
}

#[tokio::test]
async fn plain_publishing_carries_entries_and_volatiles_too() {
    let stage = Stage::redis(Publishing::Plain).await;
    let ana = stage.enter("ana").await;
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    stage.step(say(&ana, 1, None)).await;
    assert_eq!(next_batch(&mut feed).await.entries.len(), 1);
}
