// A robot logs its pose at 1 kHz, power-safe 10 ms behind; it crashes; the next start goes on.
#include <mmsb/mmsb.hpp>

#include <cstdlib>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;

struct Pose {
    static constexpr std::string_view mmsb_type = "robot.Pose/2";
    double x, y, heading;
};
Pose read_sensors() { return {1.0, 2.0, 0.5}; }

int main() {
    auto bus = mmsb::start({.path = "robot.bus",
                            .durability = mmsb::Durability::interval,
                            .interval = 10ms,
                            .max_tlog_age = 1h,
                            .source = "pose_logger"});
    if (const auto& found = bus.recovery(); found.needed)
        std::cout << "recovered to sequence " << found.sequence << "; " << found.dropped_bytes
                  << " bytes of an unfinished write dropped\n";

    auto pose = bus.open<Pose>("pose");
    auto mission = bus.open<std::uint64_t>("mission");
    for (const auto& change : pose.history({.since = mmsb::now() - 1s}))
        std::cout << mmsb::to_string(change.time) << ' ' << bus.at(change.sequence).get(pose).x
                  << '\n';

    // What must survive a power cut is waited for; the rest is not.
    mission.update([](std::uint64_t& number) { ++number; }, {.durability = mmsb::Durability::sync});

    auto next = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < 5000; ++i) {
        pose.update(read_sensors(), {.tag = i});
        std::this_thread::sleep_until(next += 1ms);
    }
    std::abort();  // nothing acknowledged is lost: the memory is shared, another process flushes it
}
