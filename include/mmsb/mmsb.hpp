/// All of MMSB. To read: state.hpp, page.hpp, transaction.hpp, view.hpp; the words are in
/// types.hpp, the errors in error.hpp.
#pragma once

#include <mmsb/functions.hpp>
#include <mmsb/state.hpp>
