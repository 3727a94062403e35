/// tests/support/raises: a call that must throw, and must have changed nothing.
#pragma once

#include "support/contents.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace mmsb::test {

/// What `call` threw, if it was an E; else a failure of the test.
template <class E, class F>
std::optional<E> thrown(F&& call) {
    try {
        call();
        ADD_FAILURE() << "nothing was thrown";
    } catch (const E& e) {
        EXPECT_NE(std::string_view(e.what()), "");
        return e;
    } catch (const std::exception& e) {
        ADD_FAILURE() << "another error: " << e.what();
    }
    return std::nullopt;
}

/// As thrown(), and all pages' bytes, epochs, names and metadata and the sequence are as before.
template <class E, class F>
std::optional<E> raises(const State& bus, F&& call) {
    const auto before = contents_of(bus);
    auto error = thrown<E>(call);
    EXPECT_EQ(contents_of(bus), before);
    return error;
}

}  // namespace mmsb::test
