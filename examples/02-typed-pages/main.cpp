// Pages seen as C++ types. Look for: a commit holds the bytes that changed, not the page.
#include <mmsb/mmsb.hpp>

#include <array>
#include <iostream>

struct Pose {
    static constexpr std::string_view mmsb_type = "demo.Pose/1";
    double x, y, heading;
    std::uint64_t tick;
};
struct NewPose {  // the same size, another meaning
    static constexpr std::string_view mmsb_type = "demo.Pose/2";
    double x, y, z, heading;
};

int main() {
    const auto bus = mmsb::start();  // no path: private memory, gone with the State
    const auto pose = bus.create<Pose>({.name = "pose"});

    // The edit gets a copy; what differs afterwards is found, logged and applied.
    const auto done = pose.update([](Pose& p) {
        p.x = 1.5;
        p.tick = 1;
    });
    std::cout << "pose: " << done.changed_bytes << " of " << sizeof(Pose) << " bytes changed, x is "
              << pose.read().x << ", epoch " << pose.epoch() << '\n';

    const auto again = pose.update(pose.read());
    std::cout << "the same value again: " << (again.changed() ? "a commit" : "nothing to commit")
              << '\n';

    const auto row = bus.create<float[]>(1000, {.name = "temperatures"});
    row.update([](std::span<float> t) { t[3] = 21.5F; });
    row.write(998, std::array{19.0F, 19.5F});
    std::cout << "temperatures: " << row.count() << " of them, the last is " << row.read().back()
              << '\n';

    // Any process may open the page; one that means another type is told.
    try {
        static_cast<void>(bus.page<NewPose>("pose"));
    } catch (const mmsb::TypeMismatch& e) {
        std::cout << "refused: expected " << e.expected() << ", found " << e.found() << '\n';
    }
    // struct { char c; double d; } is refused by the compiler: its padding would be garbage in the
    // log.
}
