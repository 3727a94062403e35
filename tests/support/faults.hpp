/// tests/support/faults: system calls that fail, hang or are counted.
#pragma once

#include "os/error.hpp"

#include <functional>
#include <string_view>

namespace mmsb::test {

/// While it lives, `answer` is asked before each call of the os room: an errno, or 0. One at a
/// time.
class Faults {
public:
    using Answer = std::function<int(os::Call, std::string_view path)>;
    explicit Faults(Answer answer) {
        current() = std::move(answer);
        os::set_fault_hook([](os::Call call, const char* path) { return current()(call, path); });
    }
    ~Faults() { os::set_fault_hook(nullptr); }
    Faults(const Faults&) = delete;
    Faults& operator=(const Faults&) = delete;

private:
    static Answer& current() {
        static Answer answer;
        return answer;
    }
};

/// Every `call` fails with `error`.
inline Faults::Answer always(os::Call call, int error) {
    return [=](os::Call asked, std::string_view) { return asked == call ? error : 0; };
}

}  // namespace mmsb::test
